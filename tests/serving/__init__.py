"""Every process model: servers of the web and workers of Celery whose processes read near values."""
