"""The checker: cachekit and its peers in real processes on real servers, broken in every way, every read compared."""
