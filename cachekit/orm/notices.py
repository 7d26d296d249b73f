"""Hear on a connection of PostgreSQL's what its triggers write into the outbox, and tell it with the transaction's own.

So what a writer cannot see, such as a cascade in the database, is told when it commits and not only by the relay; and
the relay learns which transactions are told already, without a question to the database.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple
from weakref import ref

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from cachekit import outbox

ASKING = "SELECT set_config('cachekit.listens', 'on', false)"
PREFIX = "cachekit "


class Heard(NamedTuple):
    """What triggers said of the transactions since the last commit: which they are, and the tags of what they wrote."""

    settles: str = ""
    tags: tuple[str, ...] = ()


NOTHING = Heard()


def listen(*, connection: Any, **_: object) -> None:
    """Ask the triggers of a new connection to speak; psycopg 2 cannot hear them, so the relay tells it all."""
    raw = connection.connection
    if connection.alias not in connections.settings or not hasattr(raw, "add_notice_handler"):
        return
    if (former := getattr(raw, "_cachekit_hears", None)) is not None:
        raw.remove_notice_handler(former)  # out of a pool
    raw._cachekit_hears = partial(_hear, ref(connection))  # noqa: SLF001 - our own mark
    raw.add_notice_handler(raw._cachekit_hears)  # noqa: SLF001 - as above
    raw.execute(ASKING)
    if not raw.autocommit:
        raw.commit()


def heard(connection: BaseDatabaseWrapper) -> Heard:
    """Return what triggers have said."""
    found: Heard = connection.__dict__.get("_cachekit_heard", NOTHING)
    return found


def taken(connection: BaseDatabaseWrapper) -> Heard:
    """Return what triggers have said, and forget it."""
    found: Heard = connection.__dict__.pop("_cachekit_heard", NOTHING)
    return found


def _hear(listener: Any, message: Any) -> None:
    connection, text = listener(), message.message_primary or ""
    if connection is None or not text.startswith(PREFIX):
        return
    number, _, tags = text[len(PREFIX) :].partition(" ")
    before = heard(connection)
    connection.__dict__["_cachekit_heard"] = Heard(
        outbox.name_of(connection.alias, int(number)), (*before.tags, *outbox.tags_in(tags))
    )
