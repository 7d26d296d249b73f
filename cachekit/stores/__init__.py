"""Stores: where entries and their ledger live, one for each alias of CACHES that uses a cachekit backend."""

from cachekit.stores.base import Store
from cachekit.stores.directory import aliases, forget, store_for

__all__ = ["Store", "aliases", "forget", "store_for"]
