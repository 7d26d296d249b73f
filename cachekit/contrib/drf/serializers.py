"""`CachedSerializerMixin`: keep what a serializer makes of each object."""

from __future__ import annotations


class CachedSerializerMixin:
    """Keep representations."""
