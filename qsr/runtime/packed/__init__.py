"""The packed file of a network: what it may say (ops.py), its container (container.py), its rules (check.py)."""
