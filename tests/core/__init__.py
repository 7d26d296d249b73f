"""The rock: no Django, no Redis."""
