"""Settings of one process of the checker, out of its environment."""

from __future__ import annotations

import os

from tests.consistency.checker.subjects import SUBJECTS

SUBJECT = SUBJECTS[os.environ["CHECKER_SUBJECT"]]
REDIS_PORT = int(os.environ["CHECKER_REDIS_PORT"])

SECRET_KEY = "only-for-tests-" + "x" * 40
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django.contrib.contenttypes", *SUBJECT.apps, "tests.consistency.checker"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "127.0.0.1",
        "PORT": os.environ["CHECKER_POSTGRES_PORT"],
        "USER": "postgres",
        "NAME": os.environ["CHECKER_DATABASE"],
        "CONN_MAX_AGE": None,
    }
}
CACHES = {"default": SUBJECT.cache(REDIS_PORT)}
globals().update(SUBJECT.settings(REDIS_PORT))
