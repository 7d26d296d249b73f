"""The demo: a shop over 53,940 diamonds that runs on cachekit."""

from demo_site.celery import app as celery_app

__all__ = ["celery_app"]
