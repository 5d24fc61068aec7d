"""Packages made again from packages: continued, without some edits, rebased, picked from, merged."""
