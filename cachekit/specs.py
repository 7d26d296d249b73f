"""Turn what a door was told into a policy, with the project's settings where it was told nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeAlias, TypedDict

from django.conf import settings
from django.utils import timezone, translation

from cachekit import tenants
from cachekit.conf import Conf, conf
from cachekit.core.codecs import Codec
from cachekit.core.policy import Policy, Spec
from cachekit.core.tags import dependency
from cachekit.packers import packer
from cachekit.stores import store_for

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
    newer_than_snapshot: bool
    audit: bool
    alias: str


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
        key = store_for(alias).key("e", self.kind, self.name, *owner, *parts)
        return Spec(alias, key, self.kind, self.name, policy, self._codec_of(alias, policy.codec), own)


@lru_cache(maxsize=1024)
def policy_of(given: Conf, options: tuple[tuple[str, Any], ...]) -> Policy:
    """Return the policy for these options. Raises ValueError or TypeError for what cannot be meant."""
    defaults = {
        "timeout": given.TIMEOUT,
        "negative_timeout": given.NEGATIVE_TIMEOUT,
        "jitter": given.JITTER,
        "wait": given.LEASE_WAIT,
        "near": given.NEAR,
        "newer_than_snapshot": given.NEWER_THAN_SNAPSHOT,
    }
    return Policy(**{**defaults, **dict(options)})


def surroundings() -> tuple[str, str]:
    """Return what changes rendered text without being an argument: language and time zone."""
    language = translation.get_language() or "" if settings.USE_I18N else ""
    return language, timezone.get_current_timezone_name() if settings.USE_TZ else ""
