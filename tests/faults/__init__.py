"""Faults of real servers: what was acknowledged is never read older, pages never raise, and hits come again."""
