"""The site as a task of Celery's."""

from __future__ import annotations

import json

from celery import Celery
from redis import Redis

from tests.serving import site

app = Celery("serving")
app.config_from_object("django.conf:settings", namespace="CELERY")


@app.task(name="show")
def show(where: str, text: str = "") -> None:
    """Leave what a process shows in a list."""
    with Redis.from_url(app.conf.broker_url) as client:
        client.rpush(where, json.dumps(site.shown(text)))
