"""`CachedSerializerMixin`: keep what a serializer makes of each object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar

from django.db.models.manager import BaseManager
from rest_framework.serializers import BaseSerializer, ListSerializer

from cachekit.contrib.drf.fragments import Fragments
from cachekit.contrib.drf.rules import Rules, Vary, first, options_of, several


class CachedSerializerMixin:
    """Keep what `to_representation` returns: put it first, `class Products(CachedSerializerMixin, ModelSerializer)`.

    `cache_timeout` in seconds, `cache_options` what every door takes beside. `cache_vary` names what of the request
    makes a difference: `"user"`, `"permissions"`, `"auth"`, a header, a function of the request; host, scheme, version,
    language and time zone count by themselves. With `many=True` all objects are looked up at once.
    """

    cache_timeout: ClassVar[Any] = ...
    cache_options: ClassVar[Mapping[str, Any]] = {}
    cache_vary: ClassVar[Sequence[Vary]] = ()
    cachekit_kept: ClassVar[Fragments]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Check what is said where it is written."""
        super().__init_subclass__(**kwargs)
        first(cls, CachedSerializerMixin, BaseSerializer)
        timeout = {} if cls.cache_timeout is ... else {"timeout": cls.cache_timeout}
        vary = (*several("cache_vary", cls.cache_vary), "shared")
        rules = Rules(vary=vary, options=options_of({**timeout, **cls.cache_options}))
        cls.cachekit_kept = Fragments(f"{cls.__module__}.{cls.__qualname__}", rules)

    @classmethod
    def many_init(cls, *args: Any, **kwargs: Any) -> Any:
        """Return a list of these that looks all of its objects up at once."""
        made = super().many_init(*args, **kwargs)  # type: ignore[misc]
        kind: Any = type(made)
        if isinstance(made, ListSerializer):
            made.__class__ = _listing(kind)
        return made

    def to_representation(self, instance: Any) -> Any:
        """Return what is kept for an object that holds all this, made if there is nothing fresh."""
        ready: dict[int, Any] = vars(self).get("_cachekit_ready", {})
        if id(instance) in ready:
            return ready.pop(id(instance))
        return self.cachekit_kept.represented(self, super().to_representation, [instance])[0]  # type: ignore[misc]


class _Listing:
    """A list of serializers whose objects are looked up all at once before each is asked for."""

    child: Any

    def to_representation(self, data: Any) -> Any:
        """Look all up, then go on as ever."""
        found = list(data.all() if isinstance(data, BaseManager) else data)
        child: Any = self.child
        once = list({id(one): one for one in found}.values())
        make = super(CachedSerializerMixin, child).to_representation  # type: ignore[misc]
        made = child.cachekit_kept.represented(child, make, once)
        child._cachekit_ready = {id(one): value for one, value in zip(once, made, strict=True)}  # noqa: SLF001 - ours
        try:
            return super().to_representation(found)  # type: ignore[misc]
        finally:
            del child._cachekit_ready  # noqa: SLF001 - ours


@lru_cache(maxsize=256)
def _listing(kind: Any) -> Any:
    return type(kind.__name__, (_Listing, kind), {"__module__": kind.__module__})
