"""Settings of the process of one subject, out of its environment."""

from __future__ import annotations

import os

from tests.conformance.subjects import SUBJECTS, caches

NAME = os.environ["CONFORMANCE_SUBJECT"]
URL = os.environ["CONFORMANCE_REDIS_URL"]
SUBJECT = SUBJECTS[NAME]

SECRET_KEY = "only-for-tests-" + "x" * 40
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    *SUBJECT.apps,
    "tests.zoo",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ["CONFORMANCE_DATABASE"],
        "OPTIONS": {"init_command": "PRAGMA synchronous=OFF;"},
    }
}
CACHES = caches(NAME, URL)
CACHEOPS_REDIS = URL
globals().update(SUBJECT.settings)
