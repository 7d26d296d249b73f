"""Settings of the tests, of mypy's plugin and of the processes that tests start.

Servers come from the environment (`tests/conftest.py` sets it). Without it, caches are in memory, so that type checking
and `manage.py check` need no server.
"""

from __future__ import annotations

import os
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.patience import patient

REDIS_URL = os.environ.get("CACHEKIT_TEST_REDIS_URL", "")
FOLDER = Path(os.environ.get("CACHEKIT_TEST_FOLDER") or tempfile.gettempdir())
POSTGRES_PORT = os.environ.get("CACHEKIT_TEST_POSTGRES_PORT", "")
# The demo needs django-prometheus, which is not there on every Django (noxfile.py says where).
DEMO = find_spec("django_prometheus") is not None

SECRET_KEY = "only-for-tests-" + "x" * 40
DEBUG = False
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "/static/"
STATIC_ROOT = FOLDER / "static"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ROOT_URLCONF = "demo_site.urls" if DEMO else "tests.urls"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework.authtoken",
    "cachekit",
    *(["demo_site.shop"] if DEMO else []),
    "tests.zoo",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent.parent / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]


def caches(url: str) -> dict[str, dict[str, Any]]:
    """Return CACHES on the server at this URL, or in memory where there is none."""
    memory = {"BACKEND": "cachekit.backends.MemoryCache", "LOCATION": "tests"}
    if not url:
        return {"default": memory, "memory": memory}
    fake = {"CONNECTION_POOL_KWARGS": {"connection_class": _fake_connection()}}
    return {
        "default": {"BACKEND": "cachekit.backends.RedisCache", "LOCATION": url, "OPTIONS": patient({})},
        "memory": memory,
        "fake": {"BACKEND": "cachekit.backends.RedisCache", "LOCATION": "redis://fake.invalid/0", "OPTIONS": fake},
        "plain": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": url,
            "KEY_PREFIX": "plain",
            "OPTIONS": patient({}),
        },
    }


def databases() -> dict[str, dict[str, Any]]:
    """Return `default` and `other`; a test database has the very name given here, so that subprocesses find it."""
    return {alias: _postgres(alias) if POSTGRES_PORT else _sqlite(alias) for alias in ("default", "other")}


def _postgres(alias: str) -> dict[str, Any]:
    name = f"cachekit_{alias}"
    return {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "127.0.0.1",
        "PORT": POSTGRES_PORT,
        "USER": "postgres",
        "NAME": name,
        "TEST": {"NAME": name},
    }


def _sqlite(alias: str) -> dict[str, Any]:
    path = str(FOLDER / f"cachekit-{alias}.sqlite3")
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "TEST": {"NAME": path},
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;",
        },
    }


def _fake_connection() -> Any:
    from fakeredis import FakeRedisConnection

    return FakeRedisConnection


REST_FRAMEWORK = {"DEFAULT_SCHEMA_CLASS": "cachekit.contrib.drf.schema.CachedAutoSchema"}
CACHES = caches(REDIS_URL)
DATABASES = databases()
CACHEKIT = {"STATS_INTERVAL": 3600, "MAX_STALENESS": float(os.environ.get("CACHEKIT_TEST_MAX_STALENESS") or 0)}
"""Counts are sent when a test says so: a thread of one test must not write into the server of the next (see QUIET)."""
