"""Who is checked: the settings and the doors of each library; nothing here imports Django."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

CONNECT_SECONDS, READ_SECONDS = 0.1, 0.25
"""The same timeouts for everybody: cachekit's defaults."""


@dataclass(frozen=True)
class Subject:
    """One library, configured as its documentation advises."""

    name: str
    title: str
    apps: tuple[str, ...] = ()
    doors: str = ""
    """The class that reads through it, in `doors`."""
    relays: int = 0
    """How many relays run beside it."""
    near: bool = False
    """Whether its processes keep what they have read."""
    triggers: bool = False
    """Whether clients that are not Django write too."""
    packages: tuple[str, ...] = ()

    def cache(self, port: int) -> dict[str, Any]:
        """Return the entry of CACHES."""
        options: dict[str, Any] = {
            "SOCKET_CONNECT_TIMEOUT": CONNECT_SECONDS,
            "SOCKET_TIMEOUT": READ_SECONDS,
            "IGNORE_EXCEPTIONS": True,
        }
        backend = "django_redis.cache.RedisCache"
        if "cachekit" in self.apps:
            backend, options = "cachekit.backends.RedisCache", {}
        return {"BACKEND": backend, "LOCATION": f"redis://127.0.0.1:{port}/0", "OPTIONS": options}

    def settings(self, port: int) -> dict[str, Any]:
        """Return the library's own settings."""
        if "cacheops" in self.apps:
            return {
                "CACHEOPS_REDIS": {
                    "host": "127.0.0.1",
                    "port": port,
                    "socket_connect_timeout": CONNECT_SECONDS,
                    "socket_timeout": READ_SECONDS,
                },
                "CACHEOPS": {"checker.*": {"ops": "all", "timeout": 3600}},
                "CACHEOPS_DEGRADE_ON_FAILURE": True,
            }
        if "cachalot" in self.apps:
            return {"CACHALOT_TIMEOUT": 3600}
        return {"CACHEKIT": {"TIMEOUT": 3600, "NEAR": self.near}} if "cachekit" in self.apps else {}


_KIT = ("cachekit",)
_ALL = (
    Subject("cachekit", "cachekit, strict", _KIT, "CachekitDoors", relays=1, packages=("django-cachekit",)),
    Subject(
        "triggers",
        "cachekit, strict, triggers",
        _KIT,
        "CachekitDoors",
        relays=2,
        triggers=True,
        packages=("django-cachekit",),
    ),
    Subject("tracked", "cachekit, near", _KIT, "CachekitDoors", relays=1, near=True, packages=("django-cachekit",)),
    Subject("cacheops", "django-cacheops", ("cacheops",), "CacheopsDoors", packages=("django-cacheops",)),
    Subject("cachalot", "django-cachalot", ("cachalot",), "Doors", packages=("django-cachalot", "django-redis")),
    Subject("aside", "cache-aside by hand", (), "AsideDoors", packages=("django-redis",)),
    Subject("blind", "cachekit that forgets half of it (a mutant)", _KIT, "BlindDoors", relays=1),
    Subject("none", "no cache", (), "Doors"),
)
SUBJECTS = {one.name: one for one in _ALL}
