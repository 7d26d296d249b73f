"""What is kept of serializers: of each object by all that it holds.

The object was read before, nobody knows when; so its columns are part of the key, and its row's age does not matter:
a row that has changed has another key. What is read beyond the object is captured.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from django.db.models import Model
from django.urls import get_script_prefix
from rest_framework.relations import Hyperlink
from rest_framework.request import Request
from rest_framework.settings import api_settings

from cachekit import gathering, registry
from cachekit.conf import conf
from cachekit.contrib.drf.asking import Passes, varied
from cachekit.contrib.drf.contexts import entries_of, watched
from cachekit.contrib.drf.forms import form_of
from cachekit.contrib.drf.freezing import framed
from cachekit.contrib.drf.rules import Rules
from cachekit.contrib.drf.watching import Reads, forget_rights
from cachekit.core import keys
from cachekit.core.capture import Capture, capturing, current
from cachekit.core.policy import Spec
from cachekit.exceptions import InvalidKey
from cachekit.modes import BYPASSING, mode
from cachekit.specs import Door, surroundings

OF_A_FIELD = frozenset(
    {"instance", "initial_data", "partial", "parent", "field_name", "source", "source_attrs", "fields", "validators"}
    | {"label", "help_text", "style", "initial", "required", "read_only", "write_only", "allow_null", "default"}
    | {"error_messages", "default_empty_html", "_args", "_kwargs", "_context", "_creation_counter", "_validators"}
    | {"_data", "_errors", "_validated_data", "_cachekit_form", "_cachekit_ready", "_save_kwargs", "url_field_name"}
)
"""What REST framework puts on a serializer; it makes no difference to what becomes of an object."""
Produce = Callable[[tuple[int, ...]], Sequence[gathering.Made]]
MOST_AT_ONCE = 500
OF_A_CONTEXT = frozenset({"request", "view", "format"})

_again: ContextVar[dict[str, tuple[Any, Capture]] | None] = ContextVar("cachekit_drf_again", default=None)
"""What was made already for the computation that runs now."""


class Around(NamedTuple):
    """What is around all objects of one serializer."""

    key: str
    request: Any
    permits: frozenset[str]


class Fragments:
    """What is kept of one class of serializers."""

    def __init__(self, name: str, rules: Rules) -> None:
        self.rules = rules
        self.door = Door("fragment", name, rules.options)

    def represented(self, serializer: Any, make: Any, objects: Sequence[Any]) -> list[Any]:
        """Return what becomes of objects, each kept by itself."""
        if len(objects) > MOST_AT_ONCE:
            slices = (objects[at : at + MOST_AT_ONCE] for at in range(0, len(objects), MOST_AT_ONCE))
            return [one for each in slices for one in self.represented(serializer, make, each)]
        if mode.get() in BYPASSING or not conf().ENABLED:
            return [make(one) for one in objects]
        try:
            around = self._around(serializer)
            specs = [self._spec(around, one) for one in objects]
        except (Passes, InvalidKey):
            return [make(one) for one in objects]
        if not specs:
            return []

        def produce(places: tuple[int, ...]) -> Sequence[gathering.Made]:
            return self._made(serializer, around, make, [objects[at] for at in places])

        found = _looked_up(specs, produce)
        return [make(one) for one in objects] if found is None else found

    def _spec(self, around: Around, one: Any) -> Spec:
        if not isinstance(one, Model) or one.pk is None:
            raise Passes("no row")
        return self.door.spec(around.key, keys.fingerprint(framed(one)))

    def _around(self, serializer: Any) -> Around:
        """Return what of serializer and context makes a difference to all objects."""
        context = entries_of(serializer.context)
        request = context.get("request")
        if request is not None and not isinstance(request, Request):
            raise Passes("a request that nobody can watch")
        own = {name: value for name, value in vars(serializer).items() if name not in OF_A_FIELD}
        others = {name: value for name, value in context.items() if name not in OF_A_CONTEXT}
        parts: list[Any] = [form_of(serializer), surroundings(), framed(own), framed(others), context.get("format")]
        permits = frozenset[str]()
        if request is not None:
            below = request._request  # noqa: SLF001 - there is no other way to it
            scheme = type(getattr(request, "versioning_scheme", None))
            version = getattr(request, "version", None)
            form = below.GET.get(api_settings.URL_FORMAT_OVERRIDE)  # which links repeat
            parts.append((below.scheme, below.get_host(), get_script_prefix(), scheme, version, form))
            permits = varied(request, self.rules, parts) | ({"view"} if self.rules.functions else set())
        return Around(keys.fingerprint(*parts), request, permits)

    def _made(self, serializer: Any, around: Around, make: Any, wanted: Sequence[Any]) -> list[gathering.Made]:
        """Make what is missing, each with all that it reads captured by itself."""
        made: list[gathering.Made] = []
        captures: list[Capture] = []
        outer, reads = current.get(), Reads(around.permits, rights=self.rules.by_rights)
        if around.request is not None:
            forget_rights(vars(around.request).get("_user"))
        with watched(serializer, around.request, reads), _remembering():
            for one in wanted:
                capture = outer.beside() if outer is not None else Capture(b"", 0)
                captures.append(capture)
                with capturing(capture):
                    made.append((_plain(make(one)), registry.row_tags(one), capture))
        if undeclared := reads.undeclared:
            reason = f"it asks for request's {undeclared[0]}: declare cache_vary=({undeclared[0]!r},)"
            if undeclared[0] == "view":
                reason = (
                    "it asks for the view: declare cache_vary=(lambda request: …,) with what of it makes a difference"
                )
            for capture in captures:
                capture.refuse(reason)
        for capture in captures:
            capture.close()
        return made


def _looked_up(specs: list[Spec], produce: Produce) -> list[Any] | None:
    """Look objects up; what was asked for already in what is made just now is not looked up again."""
    memo, outer = _again.get(), current.get()
    if memo is None or outer is None or len(specs) != 1:
        return gathering.gather(specs, produce)
    known = memo.get(specs[0].key)
    if known is None:
        noted = outer.beside()
        with capturing(noted):
            found = gathering.gather(specs, produce)
        if found is None:
            return None
        known = memo[specs[0].key] = found[0], noted
    value, noted = known
    outer.absorb(noted)
    return [copy.deepcopy(value)]


@contextmanager
def _remembering() -> Iterator[None]:
    """Look nothing up twice for what is made inside."""
    token = _again.set({} if _again.get() is None else _again.get())
    try:
        yield
    finally:
        _again.reset(token)


def _plain(value: Any) -> Any:
    """Return a value without the instances that REST framework hides in the text of links."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return str.__str__(value) if isinstance(value, Hyperlink) else value
