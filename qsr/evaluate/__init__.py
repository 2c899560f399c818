"""Floor 4: how good a network is (PSNR, SSIM, the benchmark sets) and what it costs (parameters, operations).

Importing this package loads nothing: the bicubic benchmark and the metrics work without torch.
"""
