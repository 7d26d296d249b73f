"""Serializers for OPTIONS["SERIALIZER"]: signed pickles, and a guise for serializers written for Django's backend."""

from __future__ import annotations

from typing import Any

from django.utils.module_loading import import_string
from django_redis.serializers.base import BaseSerializer
from django_redis.serializers.pickle import PickleSerializer

from cachekit.backends.errors import UnpicklableValue
from cachekit.core import codecs
from cachekit.exceptions import UncacheableValue
from cachekit.signing import signing_keys


class SignedPickle(PickleSerializer):  # type: ignore[misc]  # django-redis has no types
    """Pickles with a keyed digest before them: what another wrote into the server is never unpickled."""

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self._codec = codecs.SignedPickle(signing_keys, self._pickle_version)

    def dumps(self, value: Any) -> bytes:
        """Encode. Raises UnpicklableValue."""
        try:
            return self._codec.dumps(value)
        except UncacheableValue as error:
            raise UnpicklableValue(*error.args) from error.__cause__

    def loads(self, value: bytes) -> Any:
        """Decode. Raises codecs.Undecodable."""
        return self._codec.loads(value)


class Guise(BaseSerializer):  # type: ignore[misc]  # django-redis has no types
    """A serializer as Django's backend takes it: an object with `dumps` and `loads` that knows no OPTIONS."""

    def __init__(self, inner: Any) -> None:
        super().__init__({})
        self.dumps, self.loads = inner.dumps, inner.loads


def made(given: Any, options: dict[str, Any]) -> Any:
    """Return the serializer that OPTIONS names: a path or a class, for django-redis or for Django, or an object."""
    found = import_string(given) if isinstance(given, str) else given
    if isinstance(found, type) and issubclass(found, BaseSerializer):
        return found(options=options)
    if callable(found):
        found = found()
    return found if isinstance(found, BaseSerializer) else Guise(found)
