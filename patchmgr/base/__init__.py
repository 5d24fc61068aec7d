"""Checkpoints as bytes: where they come from, what lies in them, and the fingerprint they are known by."""
