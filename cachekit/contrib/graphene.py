"""`@cached_resolver`: keep what a resolver of graphene or graphene-django returns."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, Unpack, cast

from asgiref.sync import iscoroutinefunction

from cachekit.exceptions import MissingExtra, UncacheableValue

try:
    import graphene  # noqa: F401 - it is asked for here so that what is missing is said in its name
except ImportError as error:  # pragma: no cover - tried in a process of its own
    raise MissingExtra.of("graphene") from error

from cachekit.contrib.graphql.resolving import Asked, ResolverDoor, Rules
from cachekit.sharing import Vary
from cachekit.specs import Options

Function = TypeVar("Function", bound=Callable[..., Any])


def cached_resolver(
    timeout: Any = ...,
    /,
    *,
    key: Callable[..., Any] | None = None,
    public: bool = False,
    vary: Sequence[Vary] = (),
    selection: bool = True,
    name: str = "",
    **options: Unpack[Options],
) -> Callable[[Function], Function]:
    """Keep what a resolver returns: `@cached_resolver(600)` above `def resolve_products(parent, info, category)`.

    The key is made of the field, its parent (a model's instance, or nothing), its arguments, the sub-fields that are
    asked for, the language, the time zone, and the user where somebody is signed in. `public` says that the value is
    the same for everybody. `key(parent, info, **arguments)` says what matters in place of parent and arguments;
    `vary` names headers, or functions of the request. `selection=False` says that the sub-fields do not matter.
    What the resolver reads through the ORM is captured: a write to any of it makes the value stale.
    """
    if callable(timeout):
        raise TypeError("@cached_resolver takes its timeout: write @cached_resolver(600), or @cached_resolver()")
    if timeout is not ...:
        options["timeout"] = timeout
    rules = Rules(options, key, public, vary, selection)

    def decorate(resolver: Function) -> Function:
        if isinstance(resolver, staticmethod | classmethod):
            raise UncacheableValue(f"Put @cached_resolver below @{type(resolver).__name__}, next to the function.")
        door = ResolverDoor(name or f"{resolver.__module__}.{resolver.__qualname__}", rules)
        found: Any = _awaited(resolver, door) if iscoroutinefunction(resolver) else _called(resolver, door)
        found.tag = door.door.tag
        return cast("Function", found)

    return decorate


def _called(resolver: Callable[..., Any], door: ResolverDoor) -> Callable[..., Any]:
    @functools.wraps(resolver)
    def call(parent: Any, info: Any, **arguments: Any) -> Any:
        return door.answer(Asked(parent, info, arguments, info), lambda: resolver(parent, info, **arguments))

    return call


def _awaited(resolver: Callable[..., Any], door: ResolverDoor) -> Callable[..., Any]:
    @functools.wraps(resolver)
    async def call(parent: Any, info: Any, **arguments: Any) -> Any:
        return await door.aresolve(Asked(parent, info, arguments, info), lambda: resolver(parent, info, **arguments))

    return call
