"""Which relays work, by the heartbeats that they leave in the caches."""

from __future__ import annotations

from cachekit.exceptions import StoreUnavailable
from cachekit.stores import aliases, store_for
from cachekit.stores.beats import Beat, beats
from cachekit.stores.turns import server_of

DEAD = 10.0
"""Seconds after which a relay that left no heartbeat is taken for dead: they leave one a second."""


def relays() -> list[Beat]:
    """Return the last heartbeat of each relay, newest first. Raises StoreUnavailable where every cache is away."""
    found: dict[str, Beat] = {}
    away: list[StoreUnavailable] = []
    for alias in aliases():
        try:
            known = beats(store_for(alias))
        except StoreUnavailable as error:
            away.append(error)
            continue
        for one in known:
            if one.name not in found or one.ago < found[one.name].ago:
                found[one.name] = one
    if away and not found:
        raise away[0]
    return sorted(found.values(), key=lambda one: one.ago)


def relay_of(host: str) -> tuple[bool, str]:
    """Tell whether a relay works on this host, and say so in a sentence: what a probe asks."""
    if all(server_of(store_for(alias)) is None for alias in aliases()):
        return False, "No cache has a server, so there is nobody to relay to."
    try:
        known = [one for one in relays() if one.kind == "command"]
    except StoreUnavailable as error:
        return False, str(error)
    here = [one for one in known if one.name.rpartition(":")[0] == host]
    if not here:
        elsewhere = ", ".join(one.name for one in known if one.ago <= DEAD) or "none elsewhere"
        return False, f"No relay has worked on {host} ({elsewhere}): run manage.py cachekit relay."
    newest = here[0]
    said = f"The relay {newest.name} looked {newest.ago:.1f} s ago; {newest.waiting} rows wait"
    if newest.ago > DEAD:
        return False, f"{said}. It is dead or stands still."
    return True, f"{said}, the oldest for {newest.oldest:.1f} s." if newest.waiting else f"{said}."
