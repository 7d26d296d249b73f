"""`CachedField`: keep what a field of strawberry or strawberry-django resolves to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Unpack

from cachekit.exceptions import MissingExtra, UncacheableValue

try:
    from strawberry.extensions import FieldExtension
    from strawberry.permission import PermissionExtension
except ImportError as error:  # pragma: no cover - tried in a process of its own
    raise MissingExtra.of("strawberry") from error

from cachekit.contrib.graphql.resolving import Asked, ResolverDoor, Rules
from cachekit.sharing import Vary
from cachekit.specs import Options

CUTTING = ("is_connection", "is_paginated")


class CachedField(FieldExtension):
    """Keep a field's value: `extensions=[CachedField(600), …]`; the first of them, so that permissions stand around it.

    The key is made of the field, its parent (a model's instance, or nothing), its arguments, the sub-fields that are
    asked for, the language, the time zone, and the user where somebody is signed in. `public` says that the value is
    the same for everybody. `key(parent, info, **arguments)` says what matters in place of parent and arguments;
    `vary` names headers, or functions of the request. `selection=False` says that the sub-fields do not matter.
    What the resolver reads through the ORM is captured: a write to any of it makes the value stale.
    """

    def __init__(
        self,
        timeout: Any = ...,
        /,
        *,
        key: Callable[..., Any] | None = None,
        public: bool = False,
        vary: Sequence[Vary] = (),
        selection: bool = True,
        name: str = "",
        **options: Unpack[Options],
    ) -> None:
        if timeout is not ...:
            options["timeout"] = timeout
        self._rules = Rules(options, key, public, vary, selection)
        self._name = name
        self._doors: dict[Any, ResolverDoor] = {}

    def apply(self, field: Any = None) -> None:
        """Refuse what would be wrong: permissions inside the cache, and lists that are cut to pages outside of it."""
        if field is None:  # called on the class, which takes the field for an instance
            raise TypeError("CachedField stands there without its brackets: write extensions=[CachedField(600)].")
        own = field.extensions.index(self)
        for inner in field.extensions[:own]:
            if is_permission(inner):
                raise UncacheableValue(
                    f"{type(inner).__name__} stands before CachedField, so that a hit would not ask it. The first "
                    f"extension is the innermost: write extensions=[CachedField(…), {type(inner).__name__}(…)]."
                )
        filters = [one for one in field.extensions[own + 1 :] if "HasRetvalPerm" in names_of(one)]
        if self._rules.public and filters:
            raise UncacheableValue("What HasRetvalPerm leaves of a list differs from user to user: leave public out.")
        cutters = [one for one in field.extensions if "Connection" in type(one).__name__]
        if cutters or any(getattr(field, one, False) for one in CUTTING):
            raise UncacheableValue(
                "A connection or OffsetPaginated is cut from its queryset after the resolver has returned. Cache the "
                "fields below it, or give a list field pagination=True."
            )

    def resolve(self, next_: Callable[..., Any], source: Any, info: Any, **kwargs: Any) -> Any:
        """Return the value kept, computed if there is none that is fresh; awaitable where an event loop runs."""
        asked = Asked(source, info._raw_info, kwargs, info)  # noqa: SLF001 - nothing else says the type of the parent
        return self.door(info).answer(asked, lambda: next_(source, info, **kwargs))

    async def resolve_async(self, next_: Callable[..., Any], source: Any, info: Any, **kwargs: Any) -> Any:
        """Like `resolve`."""
        asked = Asked(source, info._raw_info, kwargs, info)  # noqa: SLF001 - as above
        return await self.door(info).aresolve(asked, lambda: next_(source, info, **kwargs))

    def door(self, info: Any) -> ResolverDoor:
        """Return the door of the field that is being resolved; one extension may stand in several."""
        field = info._field  # noqa: SLF001 - nothing else says where it was written
        found = self._doors.get(field)
        if found is None:
            found = self._doors[field] = ResolverDoor(self._name or name_of(field, info), self._rules)
        return found


def names_of(extension: FieldExtension) -> set[str]:
    """Return the names of an extension's classes: strawberry-django need not be there to know its own."""
    return {one.__name__ for one in type(extension).__mro__}


def is_permission(extension: FieldExtension) -> bool:
    """Tell whether an extension decides who may see a field: strawberry's, or one of strawberry-django's."""
    return isinstance(extension, PermissionExtension) or "DjangoPermissionExtension" in names_of(extension)


def name_of(field: Any, info: Any) -> str:
    """Return where a field was written: module, type and name."""
    resolver = field.base_resolver
    if resolver is not None:
        function = resolver.wrapped_func
        return f"{function.__module__}.{function.__qualname__}"
    owner = field.origin
    if owner is None:
        return f"{info._raw_info.parent_type.name}.{field.python_name}"  # noqa: SLF001 - as above
    return f"{owner.__module__}.{owner.__qualname__}.{field.python_name}"
