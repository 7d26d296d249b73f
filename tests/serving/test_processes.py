"""Near values in every process model: they are hits, they are never older than was promised, and they leave nothing."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from celery import Celery
from django.core.cache import cache
from redis import Redis

from cachekit import testing
from cachekit.core.mirror import MAX_LAG
from tests.patience import PATIENCE, until
from tests.servers import Server, Valkey
from tests.zoo.builders import make_book
from tests.zoo.models import Book

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]

GUNICORN = ("gunicorn", "tests.serving.site:wsgi", "-w", "2", "--no-control-socket", "--graceful-timeout", "5", "-k")
UVICORN = ("uvicorn", "tests.serving.site:asgi", "--workers", "2", "--loop")
CELERY = ("celery", "-A", "tests.serving.work", "worker", "-c", "2", "-O", "fair", "-l", "INFO", "--without-gossip")
QUIET = ("--without-mingle", "--without-heartbeat", "-P")


class Kind(NamedTuple):
    """A process model, the path of its view, and how many processes answer."""

    command: tuple[str, ...]
    path: str = ""
    processes: int = 2
    follows: str = ""
    """Whether the process that forks the others follows the ledger before."""


MODELS = {
    "gunicorn": [
        Kind((*GUNICORN, "sync")),
        Kind((*GUNICORN, "gthread", "--threads", "4", "--preload"), follows="yes"),
        Kind((*GUNICORN, "gevent")),
    ],
    "uvicorn": [Kind((*UVICORN, "asyncio"), "a"), Kind((*UVICORN, "uvloop"), "a")],
    "celery": [Kind((*CELERY, *QUIET, "prefork"), follows="yes"), Kind((*CELERY, *QUIET, "threads"), processes=1)],
}


class Site(Server):
    """The site under one process model."""

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.kind = kind

    def __str__(self) -> str:
        return " ".join(self.kind.command)

    def command(self) -> list[str]:
        env = {"DJANGO_SETTINGS_MODULE": "tests.serving.settings", "PYTHONPATH": str(Path(__file__).parents[2])}
        env["SERVING_FOLLOWS"] = self.kind.follows
        program = [sys.executable, "-W", "ignore", "-m", *self.kind.command, *self.where()]
        return ["env", *(f"{name}={value}" for name, value in env.items()), *program]

    def where(self) -> list[str]:
        """Return what tells the program its port."""
        return ["--port", str(self.port)] if self.kind.path else ["--bind", f"127.0.0.1:{self.port}"]

    def answers(self) -> bool:
        try:
            return bool(self.ask())
        except OSError:
            return False

    def ask(self, text: str = "") -> dict[str, Any]:
        """Have a process write, if there is something to write, and read."""
        path = "/".join(part for part in (self.kind.path, text and f"write/{text}") if part)
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=PATIENCE) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def ask_all(self) -> list[dict[str, Any]]:
        """Ask often enough, and at once, for all processes to answer, as a rule."""
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(lambda _: self.ask(), range(16)))

    def pids_that_hold(self) -> set[int]:
        """Return the processes, when each has answered and holds what it reads."""
        return until(self._pids)

    def renewed(self) -> None:
        """Have every process replaced in good order, and wait until the new ones hold what they read."""
        former = self.pids_that_hold()
        os.kill(self.pid, signal.SIGHUP)
        until(lambda: (pids := self._pids()) and not former & pids)

    def _pids(self) -> set[int]:
        try:
            last = {one["pid"]: one["near"] for one in self.ask_all()}
        except OSError:  # the listeners are being replaced
            return set()
        return set(last) if len(last) == self.kind.processes and all(last.values()) else set()


class Workers(Site):
    """The site as tasks of Celery workers, each with a queue of its own."""

    broker = ""

    def where(self) -> list[str]:
        return ["-Q", f"queue-{self.port}"]

    def answers(self) -> bool:
        return "ready." in self.log

    def ask(self, text: str = "") -> dict[str, Any]:
        with Celery(broker=self.broker) as app, Redis.from_url(self.broker) as client:
            list_of_answers = f"answers-{self.port}"
            app.send_task("show", (list_of_answers, text), queue=f"queue-{self.port}")
            found: Any = client.blpop([list_of_answers], PATIENCE)
            return dict(json.loads(found[1]))


@pytest.mark.parametrize("name", MODELS)
def test_process_models(name: str, valkey: Valkey, use_cache: Callable[..., None]) -> None:
    use_cache(valkey.url, OPTIONS={"NEAR": True})
    Workers.broker = valkey.url.replace("/0", "/1")
    make_book("old")
    cache.set("title", "old")
    sites = [(Workers if name == "celery" else Site)(kind) for kind in MODELS[name]]
    with ThreadPoolExecutor(len(sites)) as each:
        try:
            list(each.map(Site.start, sites))
            list(each.map(Site.pids_that_hold, sites))

            Book.objects.update(title="new")
            cache.set("title", "new")
            time.sleep(MAX_LAG)  # what is asked for from now on is promised to be new, however long it takes
            for site in sites:
                assert all(one["shown"] == ["new", "new"] for one in site.ask_all()), site

            list(each.map(Site.pids_that_hold, sites))
            for text, site in enumerate(sites):
                assert site.ask(str(text))["shown"] == [str(text)] * 2, site
            time.sleep(MAX_LAG)
            for site in sites:
                assert all(one["shown"] == [str(text)] * 2 for one in site.ask_all()), site

            list(each.map(Site.renewed, sites if name == "gunicorn" else []))
        finally:
            list(each.map(Site.stop, sites))
    testing.reset()
    until(lambda: valkey.say("CLIENT LIST").count(" db=0 ") == 1)
