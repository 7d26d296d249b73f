"""Settings of the project: what CELERY_… says is a broker, never a schedule."""

from __future__ import annotations

import os
from pathlib import Path

from tests.patience import patient

REDIS_URL = os.environ["FLEET_REDIS_URL"]
FOLDER = Path(os.environ["FLEET_FOLDER"])

SECRET_KEY = "only-for-tests-" + "x" * 40
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "cachekit",
    "tests.celery_processes",
    *os.environ.get("FLEET_APPS", "").split(),
]
CACHES = {
    "default": {
        "BACKEND": "cachekit.backends.RedisCache",
        "LOCATION": f"{REDIS_URL}/0",
        "KEY_PREFIX": "fleet",
        "OPTIONS": patient({}),
    }
}
SQLITE = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": str(FOLDER / "fleet.sqlite3"),
    "OPTIONS": {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;",
    },
}
POSTGRES = {
    "ENGINE": "django.db.backends.postgresql",
    "HOST": "127.0.0.1",
    "PORT": os.environ.get("FLEET_POSTGRES_PORT", ""),
    "USER": "postgres",
    "NAME": "fleet",
}
DATABASES = {"default": POSTGRES if POSTGRES["PORT"] else SQLITE}
CELERY_BROKER_URL = f"{REDIS_URL}/1"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
