"""Django's cache in the memory of the process: pickles behind a lock."""

from __future__ import annotations

from typing import Any

from benchmarks.peers.base import Peer


class LocMem(Peer):
    """LocMemCache."""

    name, title, distribution = "locmem", "LocMemCache", "django"
    backend = "django.core.cache.backends.locmem.LocMemCache"
    families = frozenset({"values", "awaited", "functions", "pages", "fragments", "memory"})

    def caches(self) -> dict[str, Any]:
        """Return the entry of CACHES, with room for what memory is measured by."""
        return {"BACKEND": self.backend, "TIMEOUT": 3600, "OPTIONS": {"MAX_ENTRIES": 100_000}}


PEERS = {"locmem": LocMem()}
