"""Floor 5: the small released models that come with qsr, what is known about each, and which one is the default."""
