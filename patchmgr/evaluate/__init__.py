"""Scores: what a state answers to the probes that the requests carry, and how good that is."""
