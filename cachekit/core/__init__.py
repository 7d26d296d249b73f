"""The rock: entry, tags, clock arithmetic, policy and plans; no Django, no Redis."""
