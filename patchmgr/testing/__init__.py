"""Helpers for authors of plugins: the suite that a method must pass."""
