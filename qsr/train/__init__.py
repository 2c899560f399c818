"""The training loop and what only training needs: stages, schedules, checkpoints, signals, distribution.

Start reading at loop.py (the story), then stages.py (what a run consists of) and checkpoint.py (what survives a crash).
May import every room of a lower floor (data, quant, archs, evaluate) and report; only the command line imports this room.
"""
