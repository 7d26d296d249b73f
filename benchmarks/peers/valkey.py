"""django-valkey, with libvalkey."""

from __future__ import annotations

from benchmarks.peers.base import Peer


class DjangoValkey(Peer):
    """django-redis's younger sister, over valkey-py."""

    name, title, package, distribution = "django-valkey", "django-valkey", "django_valkey", "django-valkey"
    backend = "django_valkey.cache.ValkeyCache"
    families = frozenset({"values", "pages"})

    def location(self) -> str:
        """Return where its cache is, under its own scheme."""
        return super().location().replace("redis://", "valkey://")


PEERS = {"django-valkey": DjangoValkey()}
