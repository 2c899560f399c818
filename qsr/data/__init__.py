"""Pictures in: strict decoding, MATLAB-exact resizing, benchmark sets, training patches, LMDB, integrity checks.

Nothing here knows about networks or quantizers. Importing `qsr.data` itself loads nothing heavy.
"""
