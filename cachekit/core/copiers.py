"""Copiers, one for each shape of value: plain loops that share what cannot change."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeAlias

Copier: TypeAlias = Callable[[Any], Any]


def shared(value: Any) -> Any:
    """Copy what cannot change: return it."""
    return value


class Shape:
    """A copier that is told from others by its class and its parts."""

    __slots__ = ("_hash", "_said")

    def __init__(self, *said: Any) -> None:
        self._said = said
        self._hash = hash((type(self), said))

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Shape) and type(self) is type(other) and self._said == other._said)

    def __hash__(self) -> int:
        return self._hash

    def __call__(self, value: Any) -> Any:
        """Return a copy."""
        raise NotImplementedError


class Filled(Shape):
    """A copier that makes an object first and fills it then, so that what it holds may lead back to it."""

    __slots__ = ("_kind",)

    def __init__(self, kind: type, *said: Any) -> None:
        super().__init__(kind, *said)
        self._kind = kind

    def blank(self) -> Any:
        """Return a copy that holds nothing yet."""
        return object.__new__(self._kind)

    def fill(self, copy: Any, value: Any) -> None:
        """Put into a copy what the original holds."""
        raise NotImplementedError

    def __call__(self, value: Any) -> Any:
        """Return a copy."""
        copy: Any = object.__new__(self._kind)
        self.fill(copy, value)
        return copy


class Each(Shape):
    """Copy a list or tuple whose items are all of one shape."""

    __slots__ = ("_item", "_kind")

    def __init__(self, kind: type, item: Copier) -> None:
        super().__init__(kind, item)
        self._kind, self._item = kind, item

    def __call__(self, value: Any) -> Any:
        """Return a copy."""
        return self._kind(map(self._item, value))


class Every(Shape):
    """Copy a list or tuple whose items are of several shapes."""

    __slots__ = ("_items", "_kind")

    def __init__(self, kind: type, items: tuple[Copier, ...]) -> None:
        super().__init__(kind, items)
        self._kind, self._items = kind, items

    def __call__(self, value: Any) -> Any:
        """Return a copy."""
        return self._kind([copier(one) for copier, one in zip(self._items, value, strict=True)])


class Items(Shape):
    """Copy a dict some of whose values can change."""

    __slots__ = ("_items",)

    def __init__(self, items: tuple[tuple[Any, Copier], ...]) -> None:
        super().__init__(items)
        self._items = items

    def __call__(self, value: dict[Any, Any]) -> dict[Any, Any]:
        """Return a copy."""
        copy = value.copy()
        for key, copier in self._items:
            copy[key] = copier(value[key])
        return copy


class _Scene(threading.local):
    """The copies made so far in the copying that goes on in this thread, by the identity of the originals."""

    made: dict[int, Any]

    def __init__(self) -> None:
        self.made = {}


_scene = _Scene()


class Afresh(Shape):
    """Copy a value that holds something twice."""

    __slots__ = ("_inner",)

    def __init__(self, inner: Copier) -> None:
        super().__init__(inner)
        self._inner = inner

    def __call__(self, value: Any) -> Any:
        """Return a copy."""
        outer, _scene.made = _scene.made, {}
        try:
            return self._inner(value)
        finally:
            _scene.made = outer


class Remembered(Shape):
    """Copy what is held twice: the second holder is given the first one's copy."""

    __slots__ = ("_inner",)

    def __init__(self, inner: Copier) -> None:
        super().__init__(inner)
        self._inner = inner

    def __call__(self, value: Any) -> Any:
        """Return a copy."""
        made, ident, inner = _scene.made, id(value), self._inner
        copy = made.get(ident)
        if copy is not None:
            return copy
        if isinstance(inner, Filled):
            copy = made[ident] = inner.blank()
            inner.fill(copy, value)
        else:
            copy = made[ident] = inner(value)
        return copy


def begun(value: Any) -> Any:
    """Return the copy of an object around this one, which is being filled."""
    return _scene.made[id(value)]
