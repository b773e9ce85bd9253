"""Fetch a list of URLs, many at once, and say for every one of them what happened."""

__version__ = "0.1.0"
