"""Serializers made for others in OPTIONS["SERIALIZER"]: for django-redis, or for Django's own backend."""

from __future__ import annotations

from typing import Any

from django.utils.module_loading import import_string
from django_redis.serializers.base import BaseSerializer

from cachekit.core.packing import FOREIGN, MARK, Packer, Packing
from cachekit.signing import signing_keys


class Foreign:
    """A serializer that is not ours, as a format; what it writes stands on the server as it is, or compressed by us."""

    number = FOREIGN
    signed = False

    def __init__(self, given: Any, options: dict[str, Any]) -> None:
        self._serializer = made(given, options)

    def packer(self, packing: Packing) -> Packer:
        """Return a packer that compresses as `packing` says, and reads whatever ours write."""
        return Packer(packing._replace(format=self), signing_keys)

    def written(self, value: Any, packer: Packer) -> bytes:
        """Return what the server keeps."""
        data = self.dumps(value)
        sealed = packer.sealed(FOREIGN, data, signed=False)
        return data if sealed[0] == FOREIGN else MARK + sealed

    def dumps(self, value: Any) -> bytes:
        """Encode."""
        data = self._serializer.dumps(value)
        if type(data) is not bytes:  # a serializer for Django's backend may leave integers alone, JSON may give text
            data = str(data).encode()
        return data

    def loads(self, body: bytes) -> Any:
        """Decode. Raises whatever the serializer raises."""
        return self._serializer.loads(body)


def made(given: Any, options: dict[str, Any]) -> Any:
    """Return the serializer that OPTIONS names: a path or a class, for django-redis or for Django, or an object."""
    found = import_string(given) if isinstance(given, str) else given
    if isinstance(found, type) and issubclass(found, BaseSerializer):
        return found(options=options)
    return found() if callable(found) else found
