"""The outbox: invalidations kept in the database until a relay has told every cache."""

from cachekit.outbox.delivering import relay
from cachekit.outbox.lines import tags_in
from cachekit.outbox.relaying import Relay, relay_all
from cachekit.outbox.waiting import Waiting, waiting
from cachekit.outbox.writing import has_table, name_of, record, write, write_alone

__all__ = [
    "Relay",
    "Waiting",
    "has_table",
    "name_of",
    "record",
    "relay",
    "relay_all",
    "tags_in",
    "waiting",
    "write",
    "write_alone",
]
