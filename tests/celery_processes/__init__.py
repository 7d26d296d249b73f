"""A project of its own whose Celery worker and beat run as processes."""
