"""Bridges to other programs; one file each, and the only place that imports the other program."""
