"""Settings of one peer, out of its environment."""

from __future__ import annotations

import os
from typing import Any

PEER = os.environ["BENCH_PEER"]
PORT = int(os.environ["BENCH_REDIS_PORT"])

SECRET_KEY = "only for measuring " * 3
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
APPS: dict[str, list[str]] = {"cachekit": ["cachekit"], "cachalot": ["cachalot"], "cacheops": ["cacheops"]}
INSTALLED_APPS = ["django.contrib.contenttypes", *APPS.get(PEER, []), "benchmarks.writes"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "127.0.0.1",
        "PORT": os.environ["BENCH_POSTGRES_PORT"],
        "USER": "postgres",
        "NAME": f"writes_{PEER}",
        "CONN_MAX_AGE": None,
    }
}
BACKEND = "cachekit.backends.RedisCache" if PEER == "cachekit" else "django_redis.cache.RedisCache"
CACHES: dict[str, Any] = {"default": {"BACKEND": BACKEND, "LOCATION": f"redis://127.0.0.1:{PORT}/0"}}
CACHEOPS_REDIS = {"host": "127.0.0.1", "port": PORT}
CACHEOPS = {"writes.*": {"ops": "all", "timeout": 3600}}
CACHALOT_TIMEOUT = 3600
