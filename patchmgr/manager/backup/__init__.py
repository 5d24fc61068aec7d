"""Copies of a whole registry that can be put in its place again, every byte checked."""
