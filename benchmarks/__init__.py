"""Measurements against peers on the same server."""
