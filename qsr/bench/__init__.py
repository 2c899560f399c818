"""What `qsr bench` measures: a packed network in our runtime, and its twins in other engines, interleaved.

Runs of all rivals take turns, so that a noisy machine is unfair to all alike; medians and spreads are quoted.
"""
