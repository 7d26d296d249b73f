"""Rigs that attack cachekit's promise from outside: nothing here is needed to use it."""
