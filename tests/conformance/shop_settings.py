"""Settings of the shop for one subject: cachekit's doors, or cachalot below doors that only compute."""

from __future__ import annotations

import os

from tests.conformance.subjects import SUBJECTS
from tests.settings import *  # noqa: F403

NAME = os.environ["CONFORMANCE_SUBJECT"]
URL = os.environ["CONFORMANCE_REDIS_URL"]
OURS = "cachekit" in SUBJECTS[NAME].apps

ALLOWED_HOSTS = ["testserver"]
INSTALLED_APPS = [*INSTALLED_APPS, *(() if OURS else SUBJECTS[NAME].apps)]  # noqa: F405
MIDDLEWARE = ["demo_site.middleware.CountQueries", *MIDDLEWARE]  # noqa: F405
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["CONFORMANCE_DATABASE"]}}
CACHES = {
    "default": {"BACKEND": "cachekit.backends.RedisCache", "LOCATION": URL},
    "theirs": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": URL, "KEY_PREFIX": "theirs"},
}
CACHEKIT = {"TIMEOUT": 3600, "ENABLED": OURS}
CACHALOT_CACHE = "theirs"
CACHALOT_TIMEOUT = 3600
CACHEOPS_REDIS = URL
CACHEOPS = {"shop.*": {"ops": "all", "timeout": 3600}}
