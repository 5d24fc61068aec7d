"""Signatures and the registry: made, kept, asked for before a package is used, and believed by a list of keys."""
