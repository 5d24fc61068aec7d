"""Packages and editors to and from the Hub."""
