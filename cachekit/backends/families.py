"""Name the family of a key, so that hits and misses are counted by who stores what, not by key."""

from __future__ import annotations

import re

KNOWN = (
    ("views.decorators.cache.", "cache_page"),
    ("django.contrib.sessions", "sessions"),
    ("template.cache.", "{% cache %}"),
)
_word = re.compile(r"[A-Za-z_-]{1,40}").match


def family(key: str) -> str:
    """Return the part of Django that made a key, else its first word."""
    for start, name in KNOWN:
        if key.startswith(start):
            return name
    word = _word(key)
    return word.group() if word else "other"
