"""What the relay's tests are made of: rows in the outbox, relays, and two entries to go stale."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cachekit import cached
from cachekit.core.entry import seal, unseal
from cachekit.models import Outbox
from cachekit.stores import store_for


@cached(600, tags=("bread",))
def loaf() -> float:
    return time.perf_counter()


def boxed(*tags: str) -> Outbox:
    row: Outbox = Outbox.objects.create(tags="\n".join(tags or ("bread",)), aliases="")
    return row


def until(true: Callable[[], Any], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not (done := bool(true())) and time.monotonic() < deadline:
        time.sleep(0.02)
    return done


@contextmanager
def relaying(*words: str, code: str = "") -> Iterator[subprocess.Popen[str]]:
    """A relay as a project runs it, or one that does something else at some point."""
    command = ["-m", "django", "cachekit", "relay", *words]
    if code:
        command = ["-c", f"import django; django.setup()\n{code}"]
    with subprocess.Popen(
        [sys.executable, *command], env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert process.stdout is not None
            if not code:
                assert any(line.startswith("relaying") for line in process.stdout), "warnings of checks may come first"
            yield process
        finally:
            process.kill()


@cached(600, tags=("butter",))
def butter() -> float:
    return time.perf_counter()


def promoted(state: dict[bytes, tuple[bytes, Any]]) -> None:
    """Let another server answer, which knows only what it was told until `state` was taken."""
    store: Any = store_for("default")
    server: Any = store.client
    for key in server.keys("{ck}:*"):
        server.delete(key)
    for key, dump in state.items():
        server.restore(key, 0, dump)
    server.hset(store.slot_key("root"), "server", "the-former-server")
    store.reset()


def kept_state() -> dict[bytes, Any]:
    server: Any = getattr(store_for("default"), "client", None)
    return {key: server.dump(key) for key in server.keys("{ck}:*")}


def older(seconds: float) -> None:
    """Let a store's entries look as if they had been begun earlier."""
    store: Any = store_for("default")
    for key in store.client.keys("ck:e:*"):
        header, payload = unseal(store.client.get(key), key)
        assert header is not None
        store.client.set(key, seal(header._replace(oldest=header.oldest - int(seconds * 1_000_000)), payload))
