"""Floor 7: is this installation, on this machine, one to trust with days of training? `qsr doctor` asks.

Start at registry.py (what is looked at), then run.py (how: in a worker process, with a time limit each). The other files
hold one group of checks each. Nothing heavy is imported at the top of a module; a check that needs torch says so in the
registry.
"""
