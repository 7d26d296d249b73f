"""django-redis's client with our keys and values: what its methods for sets, hashes and sorted sets run on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django_redis.client.default import DefaultClient
from django_redis.util import CacheKey

_pinned: ContextVar[str] = ContextVar("cachekit_generation", default="")


class Client(DefaultClient):  # type: ignore[misc]  # django-redis has no types
    """A client whose keys begin with the generation in force, and whose values are our codec's."""

    def __init__(self, server: Any, params: dict[str, Any], backend: Any) -> None:
        options = params["OPTIONS"]
        ours = {name: value for name, value in options.items() if name not in ("SERIALIZER", "COMPRESSOR")}  # see Codec
        super().__init__(server, {**params, "OPTIONS": ours}, backend)
        self._params, self._options = params, options

    def make_key(self, key: str, version: int | None = None, prefix: str | None = None) -> CacheKey:
        """Return the key as the server knows it; asks the server for the generation, so that no clear is missed."""
        if isinstance(key, CacheKey):
            return key
        return CacheKey(self._generation() + str(super().make_key(key, version, prefix)))

    def make_pattern(self, pattern: str, version: int | None = None, prefix: str | None = None) -> CacheKey:
        """Return a pattern as the server knows it."""
        if isinstance(pattern, CacheKey):
            return pattern
        return CacheKey(self._generation() + self._backend.named_pattern(pattern, version, prefix))

    def encode(self, value: Any, *, allow_int: bool = True) -> bytes:
        """Return what the server keeps."""
        data: bytes = self._backend.line.codec.encode(value, allow_int=allow_int)
        return data

    def decode(self, value: bytes) -> Any:
        """Return the value. Raises Undecodable."""
        return self._backend.line.codec.decode(value)

    def clear(self, client: object = None) -> None:
        """Begin a new generation; django-redis would empty the whole database."""
        self._backend.clear()

    def do_close_clients(self) -> None:
        """Close the idle connections."""
        self._backend.hang_up()
        super().do_close_clients()

    def _generation(self) -> str:
        line = self._backend.line
        return _pinned.get() or line.run(line.generation.learnt()).text


@contextmanager
def pinned(generation: str) -> Iterator[None]:
    """Have the keys made inside begin with a generation that was just asked for."""
    token = _pinned.set(generation)
    try:
        yield
    finally:
        _pinned.reset(token)
