"""Backbones, depth-dynamic architecture and building a network from options."""
