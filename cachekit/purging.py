"""What an operator removes by hand: a key, the keys of a pattern, what depends on a tag or on a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from django.apps import apps
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from cachekit import browser
from cachekit.core.dependencies import touches
from cachekit.core.entry import Header, unseal
from cachekit.core.tags import parse
from cachekit.exceptions import InvalidTag
from cachekit.invalidation import invalidate
from cachekit.registry import targets_of
from cachekit.stores.listing import Listing, listing_for

BATCH = 500
"""So many keys go in one UNLINK: others wait a millisecond at most."""
LOOK = 0.5
"""So many seconds a preview may take."""
WORK = 10.0
"""So many seconds a purge may take; what is left is said."""
HEAD = 4096
"""So many bytes of an entry hold its tags, but for the longest."""
WHOLE_HEAD = 66_000
"""So many hold the longest."""
SAMPLE = 20


class Target(NamedTuple):
    """What to purge: `by` is key, pattern, tag or model; `what` is a key's token, a glob, a tag, or `app.Model`."""

    alias: str
    by: str
    what: str

    @property
    def text(self) -> str:
        """The target for people to read."""
        return browser.visible(browser.raw_of(self.what)) if self.by == "key" else self.what


class Preview(NamedTuple):
    """What a purge would take: how many keys were found, the first of them, and whether all keys were looked at."""

    found: int
    sample: list[bytes]
    scanned: int
    complete: bool


class Purged(NamedTuple):
    """What a purge took: keys removed (None where tags were invalidated instead), and whether it came to its end."""

    removed: int | None
    complete: bool


def target(alias: str, by: str, what: str) -> Target:
    """Return a target that makes sense. Raises ValidationError."""
    what = what.strip() if by != "key" else what
    checks = {"key": _checked_key, "pattern": _checked_pattern, "tag": _checked_tag, "model": _checked_model}
    if by not in checks:
        raise ValidationError(_("Choose what to purge: a key, a pattern, a tag or a model."))
    return Target(alias, by, checks[by](alias, what))


def tags_of(target: Target) -> tuple[str, ...]:
    """Return the tags that a target by tag or by model stands for."""
    if target.by == "model":
        return tuple(targets_of([apps.get_model(target.what)]))
    return tuple(targets_of([target.what]))


def preview(target: Target) -> Preview:
    """Look at what a purge would take, for half a second. Raises StoreUnavailable."""
    if target.by == "key":
        found = [row.fact.raw for row in browser.rows(target.alias, [browser.raw_of(target.what)])]
        return Preview(len(found), found, len(found), complete=True)
    if target.by == "pattern":
        return _looked_at(browser.walk(target.alias, target.what, LOOK))
    return _looked_at(_depending(target))


def purge(target: Target, by: str) -> Purged:
    """Remove the keys, or invalidate the tags, in the name of `by`. Raises StoreUnavailable."""
    if target.by in ("tag", "model"):
        return Purged(None, complete=invalidate(*tags_of(target), why="purge", by=by, alias=target.alias))
    listing = listing_for(target.alias)
    if target.by == "key":
        own = browser.rows(target.alias, [browser.raw_of(target.what)])
        return Purged(listing.remove([row.fact.raw for row in own]), complete=True)
    removed, complete = 0, False
    for last, keys in browser.walk(target.alias, target.what, WORK):
        removed += sum(listing.remove(keys[start : start + BATCH]) for start in range(0, len(keys), BATCH))
        complete = last
    return Purged(removed, complete)


def _looked_at(steps: Iterator[tuple[bool, list[bytes]]]) -> Preview:
    found: dict[bytes, None] = {}
    scanned, complete = 0, False
    for last, keys in steps:
        scanned += browser.STEP
        found.update(dict.fromkeys(keys))
        complete = last
    return Preview(len(found), list(found)[:SAMPLE], scanned, complete)


def _depending(target: Target) -> Iterator[tuple[bool, list[bytes]]]:
    """Walk through the entries of an alias and yield those that depend on the target's tags."""
    listing, wanted = listing_for(target.alias), tags_of(target)
    for last, keys in browser.walk(target.alias, "*", LOOK, ("entries",)):
        headers = _headers(listing, keys)
        yield last, [raw for raw in keys if raw in headers and touches(headers[raw].tags, wanted)]


def _headers(listing: Listing, keys: Sequence[bytes]) -> dict[bytes, Header]:
    """Read what stands before the values; of entries with very many tags the rest in a second try."""
    heads = dict(zip(keys, listing.heads(keys, HEAD), strict=True))
    longer = [raw for raw, head in heads.items() if len(head) == HEAD and unseal(head, raw)[0] is None]
    heads.update(zip(longer, listing.heads(longer, WHOLE_HEAD), strict=True))
    found = {raw: unseal(head, raw)[0] for raw, head in heads.items()}
    return {raw: header for raw, header in found.items() if header is not None}


def _checked_key(alias: str, what: str) -> str:
    found = browser.exact(alias, what)
    if not found:
        raise ValidationError(_("There is no key of this name in “%(alias)s”."), params={"alias": alias})
    return found[0].token


def _checked_pattern(alias: str, what: str) -> str:
    if not browser.MAGIC.search(what.encode()):
        raise ValidationError(
            _("A pattern has a * where anything may stand, such as shop:*. For one key, choose “key”.")
        )
    return what


def _checked_tag(alias: str, what: str) -> str:
    try:
        return parse(what).text
    except InvalidTag as error:
        raise ValidationError(str(error)) from error


def _checked_model(alias: str, what: str) -> str:
    try:
        return str(apps.get_model(what)._meta.label)
    except (LookupError, ValueError) as error:
        raise ValidationError(_("There is no model “%(model)s”."), params={"model": what}) from error
