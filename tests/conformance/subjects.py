"""Who is asked the same questions, and how each is set up; nothing here imports Django."""

from __future__ import annotations

from typing import Any, NamedTuple

HOUR = 3600


class Subject(NamedTuple):
    """One library, set up as its documentation says for "cache whatever the ORM reads"."""

    title: str
    apps: tuple[str, ...] = ()
    package: str = ""
    settings: dict[str, Any] = {}  # noqa: RUF012 - nobody changes it
    functions: bool = False
    """Whether each read is a cached function, instead of plain code of which the settings say that it is cached."""


SUBJECTS = {
    "none": Subject("no cache"),
    "cachekit": Subject(
        "cachekit, `MODELS`",
        ("cachekit",),
        "django-cachekit",
        {"CACHEKIT": {"TIMEOUT": HOUR, "MODELS": {"zoo": {"queries": HOUR, "rows": HOUR}}}},
    ),
    "functions": Subject(
        "cachekit, `@cached`", ("cachekit",), "django-cachekit", {"CACHEKIT": {"TIMEOUT": HOUR}}, functions=True
    ),
    "cacheops": Subject(
        "django-cacheops",
        ("cacheops",),
        "django-cacheops",
        {"CACHEOPS": {"*.*": {"ops": "all", "timeout": HOUR}}},
    ),
    "cachalot": Subject("django-cachalot", ("cachalot",), "django-cachalot", {"CACHALOT_TIMEOUT": HOUR}),
}


def caches(name: str, url: str) -> dict[str, Any]:
    """Return CACHES of a subject."""
    ours = "cachekit" in SUBJECTS[name].apps
    backend = "cachekit.backends.RedisCache" if ours else "django_redis.cache.RedisCache"
    return {"default": {"BACKEND": backend, "LOCATION": url}}
