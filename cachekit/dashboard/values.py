"""A key and its value, ready to be printed: what the envelope says, and the payload by the safest reading that fits."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta
from functools import cached_property

from django.utils import timezone
from django.utils.translation import gettext as _

from cachekit import browser
from cachekit.core.dependencies import readable
from cachekit.core.entry import NEVER, Header, unseal
from cachekit.core.formats import JSON, PICKLE
from cachekit.core.packing import MARK, PAGE, ROW, ROWS
from cachekit.core.rowcodec import RowCodec
from cachekit.core.scalars import BYTES, MARKED, TEXT
from cachekit.dashboard import reveal, words
from cachekit.signing import pickles
from cachekit.stores.listing import Value

TEXTUAL = (bytes((TEXT,)), bytes((MARKED,)), bytes((BYTES,)))


@dataclasses.dataclass(frozen=True)
class Shown:
    """A row of the key table."""

    row: browser.Row

    @cached_property
    def name(self) -> str:
        """The key with everything invisible made visible, and what is secret left out."""
        return (browser.discreet if self.row.secret else browser.visible)(self.row.fact.raw)

    @cached_property
    def ttl(self) -> str:
        """The time to live in words."""
        return words.lifetime(self.row.fact.ttl)

    @cached_property
    def expires(self) -> datetime | None:
        """When it will be gone."""
        ttl = self.row.fact.ttl
        return None if ttl is None else timezone.now() + timedelta(seconds=ttl)

    @cached_property
    def kind(self) -> str:
        """What the key is for."""
        return {
            "entry": _("entry"),
            "value": _("value of CACHES"),
            "ledger": _("ledger"),
            "statistics": _("statistics"),
            "write-behind": _("write-behind"),
            "warming": _("warming"),
            "lease": _("lease"),
        }.get(self.row.kind, self.row.kind)


@dataclasses.dataclass(frozen=True)
class Detail(Shown):
    """A key with its value."""

    value: Value
    header: Header | None
    text: reveal.Shown | None
    members: list[tuple[str, ...]]

    @cached_property
    def tags(self) -> list[str]:
        """What the entry depends on."""
        return readable(self.header.tags) if self.header else []

    @cached_property
    def read_point(self) -> datetime | None:
        """When its computation began, by the ledger's clock."""
        return words.moment(self.header.read_point / 1e6) if self.header else None

    @cached_property
    def soft_expiry(self) -> datetime | None:
        """When it will be renewed, if not invalidated before."""
        return words.moment(self.header.expiry / 1e6) if self.header and self.header.expiry != NEVER else None

    @cached_property
    def cost(self) -> str:
        """How long its computation took."""
        milliseconds = round(self.header.cost / 1000) if self.header else 0
        return _("%(n)s ms") % {"n": words.number(milliseconds)} if milliseconds else _("less than 1 ms")

    @cached_property
    def epoch(self) -> str:
        """The epoch of the ledger in which it was computed."""
        return self.header.epoch.hex() if self.header else ""


def detail(alias: str, raw: bytes) -> Detail | None:
    """Return what can be shown of a key, None when there is no such key. Raises StoreUnavailable."""
    found = browser.look(alias, raw, reveal.READ_BYTES)
    if found is None:
        return None
    row, value = found
    header, payload = unseal(value.data, raw) if row.kind == "entry" else (None, b"")
    if row.secret:
        return Detail(row, Value(value.length), header, None, [])
    if row.fact.type != "string":
        return Detail(row, value, None, None, [tuple(map(browser.visible, one)) for one in value.members])
    whole = value.length == len(value.data)
    if header is None and value.data[:1] == MARK:
        payload = value.data[1:]
    return Detail(row, value, header, _read(payload, payload or value.data, whole=whole), [])


def _read(payload: bytes, data: bytes, *, whole: bool) -> reveal.Shown:
    """Print a payload by its structure, and what is none, or no longer signed, as the bytes it is."""
    if whole and payload:
        try:
            number, body = pickles.opened(payload)
            if number == PICKLE:
                return reveal.show_pickle(body)
            if number in (ROW, ROWS):  # signed too
                return reveal.show_value(RowCodec(pickles, many=number == ROWS).loads(payload))
            if number == PAGE:
                return reveal.show_page(body)
            if number in (JSON, TEXT, MARKED, BYTES):
                return reveal.show(body)
            return reveal.show_value(pickles.loads(payload))  # it runs no code
        except Exception:  # noqa: BLE001, S110 - whatever stands there may fail in any way
            pass
    shown = reveal.show(payload[1:] if payload[:1] in TEXTUAL else data)
    return shown if whole else shown._replace(cut=True)
