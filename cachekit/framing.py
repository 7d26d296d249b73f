"""Where the calls of a cached function are kept: arguments make keys, many of them at once too."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from cachekit import passed
from cachekit.core import keys
from cachekit.core.missing import MISSING
from cachekit.core.policy import Spec
from cachekit.exceptions import InvalidKey
from cachekit.specs import Door

Args = tuple[Any, ...]
Kwargs = dict[str, Any]
AT_ONCE = 1000
"""So many calls are asked for in one round trip, and computed by one call of a batch function."""

BY_KEY = "Or name what matters of the arguments: @cached(key=lambda self, x: (self.name, x))."
BY_ITS_KEY = "Have key= return these."


class Asked(NamedTuple):
    """Some calls of a function, each of them once, and the keys in the order in which they were asked for."""

    order: list[str]
    specs: dict[str, Spec]
    args: dict[str, Args]

    def chunks(self) -> Iterator[list[str]]:
        """Yield the keys, so many at once."""
        found = list(self.specs)
        for start in range(0, len(found), AT_ONCE):
            yield found[start : start + AT_ONCE]


def asked_for(spec_for: Callable[[Args, Kwargs], Spec], prefix: Args, items: Iterable[Any], kwargs: Kwargs) -> Asked:
    """Return the calls that items stand for: tuples are arguments, anything else is the only one."""
    order, specs, calls = [], {}, {}
    for item in items:
        args = (*prefix, *item) if type(item) is tuple else (*prefix, item)
        spec = spec_for(args, kwargs)
        order.append(spec.key)
        specs[spec.key], calls[spec.key] = spec, args
    return Asked(order, specs, calls)


def item_of(args: Args) -> Any:
    """Return a call as a batch function sees it: its only argument, or a tuple of them."""
    return args[0] if len(args) == 1 else args


def in_order(name: str, made: Any, items: list[Any]) -> list[Any]:
    """Return the values of items in their order; MISSING for what a mapping leaves out. Raises ValueError."""
    if isinstance(made, Mapping):
        return [made.get(item, MISSING) for item in items]
    found = list(made)
    if len(found) != len(items):
        raise ValueError(
            f"The batch function of {name} was given {len(items):,} items and returned {len(found):,} values. "
            "Return one value for each, in the same order, or a dict of values by item."
        )
    return found


def locating(
    function: Callable[..., Any], key: Callable[..., Any] | None, door: Door, advice: str = ""
) -> Callable[[Args, Kwargs], Spec]:
    """Return what finds where a call is kept; plain positional arguments that were seen before cost no hashing.

    `advice` is for who calls with what makes no key.
    """
    frame = _framing(function, key)
    advice = advice or (BY_KEY if key is None else BY_ITS_KEY)

    def spec_for(args: Args, kwargs: Kwargs) -> Spec:
        if kwargs or key is not None:
            return made(args, kwargs)
        kinds = tuple(map(type, args))
        if not keys.EXACT.issuperset(kinds):
            return made(args, kwargs)
        ident = (args, kinds)
        spec = door.remembered(ident)
        if spec is None:
            spec = made(args, kwargs)
            if all(map(keys.is_short, args)):
                door.remember(ident, spec)
        return spec

    def made(args: Args, kwargs: Kwargs) -> Spec:
        try:
            call = frame(args, kwargs)
        except InvalidKey as error:
            raise InvalidKey(f"{error} {advice}") from error
        if not call:
            return door.spec()
        return door.spec(call, own_tags=(*passed.row_tags((*args, *kwargs.values())), f"{door.tag}#{call}"))

    return spec_for


def _framing(function: Callable[..., Any], key: Callable[..., Any] | None) -> Callable[[Args, Kwargs], str]:
    """Return what makes a call's arguments into a part of its key: the same for f(1), f(x=1) and defaults."""
    if key is not None:
        return lambda args, kwargs: keys.fingerprint(key(*args, **kwargs))
    signature = inspect.signature(function)
    plain = all(one.kind is one.POSITIONAL_OR_KEYWORD for one in signature.parameters.values())
    count = len(signature.parameters)

    def frame(args: Args, kwargs: Kwargs) -> str:
        if plain and not kwargs and len(args) == count:
            return keys.fingerprint(*args) if args else ""
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return keys.fingerprint(*bound.arguments.values()) if bound.arguments else ""

    return frame
