"""Django's own cache tests, run against cachekit's backends."""
