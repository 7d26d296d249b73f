"""The Celery application as Celery's own guide for Django writes it."""

from __future__ import annotations

from celery import Celery

app = Celery("fleet")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
