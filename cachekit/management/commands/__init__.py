"""One command: `manage.py cachekit`."""
