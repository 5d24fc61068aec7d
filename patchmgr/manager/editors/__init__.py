"""Trained editors: made from data once, kept by name and digest, used by the edits of their method."""
