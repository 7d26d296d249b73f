"""Turn what a door was told into a policy, with the project's settings where it was told nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping
from contextvars import ContextVar
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias, TypedDict
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils import timezone, translation
from django.utils.translation import trans_real

from cachekit import hooks, tenants
from cachekit.conf import Conf, conf
from cachekit.core.codecs import Codec
from cachekit.core.policy import Policy, Spec
from cachekit.core.tags import dependency
from cachekit.packers import packer
from cachekit.stores import Store, store_for

CodecOf: TypeAlias = Callable[[str, str], Codec]
"""Returns the codec of an alias; the second name is that of another which a door's options ask for, or empty."""


class Options(TypedDict, total=False):
    """What every door takes; times in seconds. What is left out comes from the setting CACHEKIT."""

    timeout: float | None
    negative_timeout: float
    jitter: float
    grace: float
    wait: float
    tags: tuple[str, ...]
    codec: str
    near: bool | str
    memo: bool
    newer_than_snapshot: bool
    audit: bool
    volatile: bool
    alias: str


REMEMBERED = 512
"""So many specs a door keeps."""


class _Memory(NamedTuple):
    """The specs that were made by some settings for some store."""

    given: Conf | None
    store: Store | None
    specs: dict[Hashable, Spec]


class Door:
    """One use of a door: its name, its options, and the specs of what is kept behind it."""

    def __init__(self, kind: str, name: str, options: Mapping[str, Any], codec_of: CodecOf = packer) -> None:
        self._options = tuple(sorted((key, value) for key, value in options.items() if key != "alias"))
        self.kind = kind
        self.name = name
        self.tag = f"{kind}:{name}"
        dependency(f"{self.tag}#{'0' * 32}")  # and of each of its entries
        for tag in (self.tag, *policy_of(Conf(), self._options).tags):  # what is wrong is said where it is written
            dependency(tag)
        self._codec_of = codec_of
        self._policy: tuple[Conf | None, Policy | None] = (None, None)
        self._alias: str = options.get("alias", "")
        self._memory = _Memory(None, None, {})

    @property
    def alias(self) -> str:
        """Return the alias of CACHES that it uses."""
        return self._alias or conf().ALIAS

    def spec(self, *parts: str, own_tags: tuple[str, ...] = ()) -> Spec:
        """Return where the entry of these key parts is kept, and how."""
        alias = self.alias
        own, owner, given = (self.tag, *own_tags), tenants.part_of_key(), conf()
        made_from, policy = self._policy
        if policy is None or made_from is not given:
            policy = policy_of(given, self._options)
            self._policy = given, policy
        if owner:
            own = (*map(tenants.qualified, own),)
            policy = dataclasses.replace(policy, tags=(*map(tenants.qualified, policy.tags),))
        if policy.volatile:  # for those only who said so, with this timeout
            parts = (*parts[:-1], f"{''.join(parts[-1:])}-{policy.timeout}")
        key = store_for(alias).key("e", self.kind, self.name, *owner, *parts)
        hit = hooks.Lookup(alias, self.kind, self.name, "hit")
        return Spec(alias, key, self.kind, self.name, policy, self._codec_of(alias, policy.codec), own, hit)

    def remembered(self, ident: Hashable) -> Spec | None:
        """Return a spec that was made for what this stands for, by the settings and the store in force."""
        given, store, specs = self._memory
        if given is None or given is not conf() or store is not store_for(self._alias or given.ALIAS):
            return None
        return specs.get(ident)

    def remember(self, ident: Hashable, spec: Spec) -> Spec:
        """Keep a spec for the next time; `ident` must be small, and equal to no other that makes another key.

        With tenants none is kept: whose it is changes from moment to moment.
        """
        given, store = conf(), store_for(spec.alias)
        if given.TENANT:
            return spec
        memory = self._memory
        if memory.given is not given or memory.store is not store or len(memory.specs) >= REMEMBERED:
            memory = self._memory = _Memory(given, store, {})
        memory.specs[ident] = spec
        return spec


@lru_cache(maxsize=1024)
def policy_of(given: Conf, options: tuple[tuple[str, Any], ...]) -> Policy:
    """Return the policy for these options. Raises ValueError or TypeError for what cannot be meant."""
    known = Options.__annotations__
    if strange := next((name for name, _ in options if name not in known), None):
        guess = "".join(f" (did you mean {one!r}?)" for one in get_close_matches(strange, known, n=1))
        raise TypeError(f"There is no option {strange!r} here{guess}; there are {', '.join(sorted(known))}")
    defaults = {
        "timeout": given.TIMEOUT,
        "negative_timeout": given.NEGATIVE_TIMEOUT,
        "jitter": given.JITTER,
        "wait": given.LEASE_WAIT,
        "near": given.NEAR,
        "memo": given.MEMO,
        "newer_than_snapshot": given.NEWER_THAN_SNAPSHOT,
    }
    return Policy(**{**defaults, **dict(options)})


def place() -> tuple[Any, Any]:
    """Return what tells `surroundings` apart and costs less to find out; a zone is told by its object."""
    language: str | None = None
    zone: Any = None
    if settings.USE_I18N:
        language = settings.LANGUAGE_CODE if _is_untouched(_language) else translation.get_language()
    if settings.USE_TZ:
        zone = timezone.get_default_timezone() if _is_untouched(_zone) else timezone.get_current_timezone()
        if type(zone) is not ZoneInfo:
            zone = timezone.get_current_timezone_name()
    return language, zone


def _variable(local: Any) -> ContextVar[Any] | None:
    """Return the variable behind an asgiref Local: to ask that for what is not set costs 2 µs, an exception each."""
    found = getattr(getattr(local, "_storage", None), "_data", None)
    return found if isinstance(found, ContextVar) else None


_language, _zone = (_variable(getattr(module, "_active", None)) for module in (trans_real, timezone))


def _is_untouched(variable: ContextVar[Any] | None) -> bool:
    """Tell whether nothing was ever activated in this context; False where that cannot be known."""
    return variable is not None and variable.get(None) is None


def surroundings() -> tuple[str, str]:
    """Return what changes rendered text without being an argument: language and time zone."""
    language = translation.get_language() or "" if settings.USE_I18N else ""
    return language, timezone.get_current_timezone_name() if settings.USE_TZ else ""
