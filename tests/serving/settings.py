"""Settings of the site, on the servers of the test's process: values are kept in each process, apps are few."""

from __future__ import annotations

import os
from pathlib import Path

from tests.patience import patient

REDIS_URL = os.environ["CACHEKIT_TEST_REDIS_URL"]

SECRET_KEY = "only-for-tests-" + "x" * 40
ALLOWED_HOSTS = ["127.0.0.1"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django.contrib.contenttypes", "cachekit", "tests.zoo"]
ROOT_URLCONF = "tests.serving.site"
MIDDLEWARE: list[str] = []
CACHEKIT = {"STATS_INTERVAL": 3600}
CACHES = {
    "default": {
        "BACKEND": "cachekit.backends.RedisCache",
        "LOCATION": REDIS_URL,
        "OPTIONS": patient({"NEAR": True}),
    }
}
SQLITE = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": str(Path(os.environ["CACHEKIT_TEST_FOLDER"]) / "cachekit-default.sqlite3"),
    "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},
}
POSTGRES = {
    "ENGINE": "django.db.backends.postgresql",
    "HOST": "127.0.0.1",
    "PORT": os.environ.get("CACHEKIT_TEST_POSTGRES_PORT", ""),
    "USER": "postgres",
    "NAME": "cachekit_default",
}
DATABASES = {"default": POSTGRES if POSTGRES["PORT"] else SQLITE}
CELERY_BROKER_URL = f"{REDIS_URL.rpartition('/')[0]}/1"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
