"""`{% load cachekit %}`."""
