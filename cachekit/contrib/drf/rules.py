"""What a kept answer depends on beside its address, as the view's author says it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypedDict, cast

from rest_framework.request import Request

from cachekit.specs import Options

Vary = str | Callable[[Request], Any]

WORDS = frozenset({"user", "permissions", "shared", "auth"})
"""What `vary` may name that is no header."""
PERSONAL = WORDS - {"shared"} | {"cookie", "authorization"}
"""What no public answer varies on."""


class Said(TypedDict, total=False):
    """What a view's author may say beside the options of every door."""

    vary: Sequence[Vary]
    public: bool
    params: Sequence[str] | None
    max_age: int
    not_found: bool
    ignore: Sequence[str]


@dataclasses.dataclass(frozen=True, slots=True)
class Rules:
    """What was said of one kept answer, checked; the options of its door beside it."""

    vary: tuple[Vary, ...] = ("user",)
    public: bool = False
    params: tuple[str, ...] | None = None
    max_age: int = 0
    not_found: bool = False
    ignore: frozenset[str] = frozenset()
    options: Options = dataclasses.field(default_factory=Options)

    @property
    def words(self) -> frozenset[str]:
        """Return all names in `vary`, in small letters."""
        return frozenset(one.lower() for one in self.vary if isinstance(one, str))

    @property
    def headers(self) -> tuple[str, ...]:
        """Return the headers that the answer depends on."""
        return tuple(sorted(self.words - WORDS))

    @property
    def functions(self) -> tuple[Callable[[Request], Any], ...]:
        """Return the functions of the request that the answer depends on."""
        return tuple(one for one in self.vary if callable(one))

    @property
    def by_rights(self) -> bool:
        """Tell whether those with the same permissions share an answer."""
        return "permissions" in self.words and "user" not in self.words

    @property
    def by_user(self) -> bool:
        """Tell whether each user has an answer of their own: unless the author says in so many words who shares."""
        shares = self.public or not self.vary or self.words & {"permissions", "shared"}
        return "user" in self.words or not shares


def rules_of(said: Mapping[str, Any]) -> Rules:
    """Check what was said. Raises TypeError or ValueError for what cannot be meant."""
    given = dict(said)
    rules = Rules(
        vary=several("vary", given.pop("vary", None if given.get("public") else ("user",)) or ()),
        public=bool(given.pop("public", False)),
        params=None if given.get("params") is None else several("params", given["params"]),
        max_age=given.pop("max_age", 0),
        not_found=bool(given.pop("not_found", False)),
        ignore=frozenset(several("ignore", given.pop("ignore", ()))),
        options=options_of({name: value for name, value in given.items() if name != "params"}, Said.__annotations__),
    )
    if not isinstance(rules.max_age, int) or isinstance(rules.max_age, bool) or rules.max_age < 0:
        raise ValueError(f"max_age is a whole number of seconds, 0 or more; not {rules.max_age!r}")
    own = sorted(rules.words & PERSONAL)
    if rules.public and (own or rules.functions):
        named = own[0] if own else getattr(rules.functions[0], "__name__", "a function")
        raise ValueError(f"A public answer is the same for everybody; it cannot vary on {named!r}. Leave public out.")
    return rules


def first(made: type, mixin: type, other: type) -> None:
    """Raise TypeError where a mixin stands behind what it has to come before, so that it would do nothing."""
    order = made.__mro__
    if other in order and order.index(other) < order.index(mixin):
        name = mixin.__name__
        raise TypeError(f"{name} does nothing there. Put it first: class {made.__name__}({name}, …).")


def several(name: str, value: Any) -> tuple[Any, ...]:
    """Return names as a tuple. Raises TypeError for one name that is none."""
    if isinstance(value, str):
        raise TypeError(f"{name} is a tuple of names; write {name}=({value!r},)")
    return tuple(value)


def options_of(given: Mapping[str, Any], others: Iterable[str] = ()) -> Options:
    """Return the options of a door. Raises TypeError for what is none; `others` may be said beside them."""
    known = Options.__annotations__
    if unknown := sorted(given.keys() - known.keys()):
        raise TypeError(f"There is no option {unknown[0]!r} here; there are {', '.join(sorted([*known, *others]))}.")
    return cast("Options", dict(given))
