"""A resolver as a door: where its value is kept, for whom, and when the cache is not asked."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from asgiref.sync import sync_to_async
from django.db.models import Model, QuerySet
from django.db.models.manager import BaseManager
from django.http import HttpRequest

from cachekit import engine, hooks, registry, sharing
from cachekit.contrib.graphql import headers, visitors
from cachekit.contrib.graphql.parents import doubt, stands
from cachekit.contrib.graphql.selections import selection_of
from cachekit.core import keys
from cachekit.core.capture import current
from cachekit.core.flights import running_loop
from cachekit.core.policy import Spec
from cachekit.exceptions import InvalidKey
from cachekit.pages import PERSONAL
from cachekit.sharing import Vary
from cachekit.specs import Door, surroundings


@dataclasses.dataclass(frozen=True)
class Rules:
    """What a field's door was told."""

    options: Mapping[str, Any]
    key: Callable[..., Any] | None = None
    public: bool = False
    vary: Sequence[Vary] = ()
    selection: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be meant, where it is written."""
        vary: object = self.vary
        if isinstance(vary, str):
            raise TypeError(f"vary is a tuple of names; write vary=({vary!r},)")
        if self.public and (own := [one for one in self.vary if callable(one) or one.lower() in PERSONAL]):
            raise ValueError(f"A public field is the same for everybody; it cannot vary on {own[0]!r}.")
        Door("graphql", "rules", self.options)


class Asked(NamedTuple):
    """One question: the parent, what graphql-core says of the field, and the resolver's arguments."""

    parent: Any
    info: Any
    arguments: dict[str, Any]
    given: Any
    """What the resolver takes as `info`."""


class ResolverDoor:
    """One cached resolver."""

    def __init__(self, name: str, rules: Rules) -> None:
        self.door = Door("graphql", name, rules.options)
        self.rules = rules

    def answer(self, asked: Asked, produce: Callable[[], Any]) -> Any:
        """Return the value kept, or a coroutine that returns it where an event loop runs."""
        return self.resolve(asked, produce) if running_loop() is None else self.aresolve(asked, produce)

    def resolve(self, asked: Asked, produce: Callable[[], Any]) -> Any:
        """Return the value kept, computed if there is none that is fresh."""
        request = visitors.request_of(asked.info.context)
        if request is not None and not self.rules.public:
            visitors.load(request)
        spec = self._spec(asked, request)
        if spec is None:
            return produce()

        def compute() -> Any:
            self._prepare(asked, request)
            return self._checked(_materialised(produce()))

        return engine.get_or_set(spec, compute)

    async def aresolve(self, asked: Asked, produce: Callable[[], Any]) -> Any:
        """Like `resolve`."""
        request = visitors.request_of(asked.info.context)
        if request is not None and not self.rules.public:
            await visitors.aload(request)
        spec = self._spec(asked, request)
        if spec is None:
            return await _awaited(produce())

        async def compute() -> Any:
            await sync_to_async(self._prepare)(asked, request)
            value = await _awaited(produce())
            lazy = isinstance(value, BaseManager | Iterator) or (
                isinstance(value, QuerySet) and not value._result_cache
            )
            value = await sync_to_async(_materialised)(value) if lazy else _materialised(value)
            return self._checked(value)

        return await engine.aget_or_set(spec, compute)

    def _spec(self, asked: Asked, request: HttpRequest | None) -> Spec | None:
        """Return where the value is kept; None where the cache is not to be asked."""
        public, info = self.rules.public, asked.info
        visitor: Any = None
        wrong = info.operation.operation.value != "query" or (request is None and not public)
        if not wrong and not public:
            try:
                visitor = visitors.identity(request)
            except PermissionError:
                wrong = True
        if wrong:
            hooks.tell(hooks.Lookup(self.door.alias, self.door.kind, self.door.name, "bypass"))
            return None
        where = (info.parent_type.name, info.field_name, str(info.return_type))
        varied = [sharing.vary_value(request, one) for one in self.rules.vary] if request is not None else []
        chosen = selection_of(info) if self.rules.selection else ()
        call = keys.fingerprint(where, self._matters(asked), chosen, visitor, varied, public, surroundings())
        known = (asked.parent, None if public else visitors.user_of(request))
        rows = [tag for one in known if isinstance(one, Model) for tag in registry.row_tags(one)]
        return self.door.spec(call, own_tags=tuple(rows))

    def _matters(self, asked: Asked) -> Any:
        """Return what tells one call from another: the parent and the arguments, or what `key` says."""
        if self.rules.key is not None:
            return self.rules.key(asked.parent, asked.given, **asked.arguments)
        parent = asked.parent
        empty = dataclasses.is_dataclass(parent) and not dataclasses.fields(parent)
        if parent is not None and not isinstance(parent, Model) and not empty:
            raise InvalidKey(
                f"The parent of {self.door.name} is a {type(parent).__qualname__}, no model's instance: nothing tells "
                "one from another. Say key=lambda parent, info, **arguments: … to name what matters of it."
            )
        parent = type(parent) if empty else parent
        return parent, sorted((name, plain(value)) for name, value in asked.arguments.items())

    def _prepare(self, asked: Asked, request: HttpRequest | None) -> None:
        """Look whether what is about to be computed may be kept, while its reads are captured."""
        capture = current.get()
        if request is not None:
            visitors.watch_session(request)
            headers.watch(request, self.rules.vary)
        if not self.rules.public and (user := visitors.user_of(request)) is not None:
            visitors.forget_permissions(user)
            if capture is not None and not stands(user):
                capture.refuse("the user has changed since the request came in")
        if capture is None or self.rules.key is not None or not isinstance(asked.parent, Model):
            return
        if reason := doubt(asked.parent):
            capture.refuse(reason)

    def _checked(self, value: Any) -> Any:
        """Keep rows with deferred columns from those who ask for other sub-fields."""
        capture = current.get()
        if capture is not None and not self.rules.selection and any(one.get_deferred_fields() for one in _rows(value)):
            capture.refuse("its rows have deferred columns: leave selection=False out")
        return value


async def _awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


def _materialised(value: Any) -> Any:
    """Evaluate what is lazy; a queryset stays one, since types may filter it further by who asks."""
    if isinstance(value, BaseManager):
        value = value.all()
    if isinstance(value, QuerySet):
        len(value)
    return list(value) if isinstance(value, Iterator) else value


def _rows(value: Any) -> Iterator[Model]:
    found = value if isinstance(value, list | tuple | QuerySet) else [value]
    return (one for one in found if isinstance(one, Model))


def plain(value: Any) -> Any:
    """Return an argument as something that makes a key: input types are taken apart."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        told = [(one.name, plain(getattr(value, one.name, None))) for one in dataclasses.fields(value)]
        return type(value), told
    if isinstance(value, Mapping):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return type(value) if type(value).__name__ == "UnsetType" else value
