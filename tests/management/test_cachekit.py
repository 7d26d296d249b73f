from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection

from cachekit import cached, warming, writebehind
from cachekit.models import Outbox
from cachekit.warming import warmer
from cachekit.writebehind import WriteBehindCounter
from tests.servers import Sentinel, Valkey
from tests.zoo.models import Author, Book

pytestmark = pytest.mark.django_db(databases=["default", "other"])  # `status` looks into every outbox


@pytest.fixture(autouse=True)
def _only_own(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.setattr(warming, "_warmers", {})
    monkeypatch.setattr(writebehind, "_counters", {})
    settings.CACHES = {name: settings.CACHES[name] for name in ("default", "memory")}


@pytest.fixture
def counter(db: None) -> WriteBehindCounter:
    Book.objects.create(pk=1, title="A", author=Author.objects.create(name="B"))
    return WriteBehindCounter(Book, "views")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Return the exit code of a call, and what it printed or why it failed."""

    def run(*words: str) -> tuple[int, str]:
        try:
            call_command("cachekit", *words)
        except CommandError as error:
            return error.returncode, capsys.readouterr().out + str(error)
        return 0, capsys.readouterr().out

    return run


Run = Callable[..., tuple[int, str]]


def test_warm_runs_one_warmer_or_all(run: Run) -> None:
    ran: list[str] = []
    warmer(every=60, name="a")(lambda: ran.append("a"))
    warmer(every=60, name="b")(lambda: ran.append("b"))

    code, said = run("warm", "b")
    assert (code, ran) == (0, ["b"])
    assert said.startswith("b: ok in ")

    assert run("warm")[0] == 0
    assert ran == ["b", "a", "b"]


def test_warm_fails_when_a_warmer_fails_after_the_others_ran(run: Run) -> None:
    ran: list[str] = []
    warmer(every=60, name="a")(lambda: 1 / 0)
    warmer(every=60, name="b")(lambda: ran.append("b"))

    code, said = run("warm")

    assert (code, ran) == (1, ["b"])
    assert said.endswith("1 of the warmers failed: a")


@pytest.mark.parametrize("task", ["warm", "flush-writes"])
def test_an_unknown_name_is_wrong_use(task: str, run: Run) -> None:
    code, said = run(task, "nope")

    assert code == 2
    assert "is called 'nope' (known: none)" in said


def test_flush_writes_brings_counts_to_the_database(run: Run, counter: WriteBehindCounter) -> None:
    counter.add(1, 3)
    counter.add(2)

    assert run("flush-writes") == (0, "1 rows counted up, 1 without a row, 0 refused\n")
    assert Book.objects.get(pk=1).views == 3


def test_flush_writes_fails_when_the_database_is_away(run: Run, counter: WriteBehindCounter) -> None:
    counter.add(1, 3)

    def away(*_: Any) -> None:
        raise OperationalError("the server is gone")

    with connection.execute_wrapper(away):
        code, said = run("flush-writes")

    assert (code, said) == (1, "Not everything could be flushed, the rest waits: the server is gone")
    assert counter.pending(1) == 3


def test_invalidate_makes_stale_what_depends_on_the_tags(run: Run) -> None:
    calls: list[int] = []

    @cached(timeout=300, tags=("bread",))
    def bread() -> int:
        calls.append(1)
        return len(calls)

    assert (bread(), bread()) == (1, 1)

    assert run("invalidate", "bread", "butter") == (0, "invalidated bread, butter\n")
    assert bread() == 2


def test_a_tag_that_is_none_is_wrong_use(run: Run) -> None:
    code, said = run("invalidate", "two words")

    assert code == 2
    assert "two words" in said


def test_invalidate_fails_when_a_server_is_away(run: Run, own_valkey: Valkey, use_cache: Callable[..., None]) -> None:
    use_cache(own_valkey.url)
    own_valkey.kill()

    assert run("invalidate", "bread")[0] == 1


def test_status_tells_how_things_are(run: Run, counter: WriteBehindCounter) -> None:
    warmer(every=60, name="w")(lambda: None)
    warming.run("w")
    counter.add(1)

    code, said = run("status")

    assert code == 0
    assert "default: up  valkey 9" in said
    assert "memory: memory  in this process only" in said
    assert "w: every 60 s, ok in " in said
    assert "zoo.book.views: 1 waiting, flushed by beat" in said


def test_status_speaks_json(run: Run, counter: WriteBehindCounter) -> None:
    warmer(every=60, name="w")(lambda: None)

    code, said = run("status", "--format", "json")

    told = json.loads(said)
    assert code == 0
    assert [cache["state"] for cache in told["caches"]] == ["up", "memory"]
    assert told["warmers"][0]["result"] == "never ran"
    assert told["counters"] == [{"name": "zoo.book.views", "waiting": 0, "flushed_by": "beat"}]
    assert told["outboxes"][0] == {"database": "default", "rows": 0, "oldest_seconds": 0.0}
    assert told["trouble"] == []


def test_status_fails_when_a_warmer_failed_or_a_counter_is_unknown(
    run: Run, counter: WriteBehindCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    warmer(every=60, name="w")(lambda: 1 / 0)
    run("warm")
    counter.add(1)
    monkeypatch.setattr(writebehind, "_counters", {})

    code, said = run("status")

    assert code == 1
    assert "warmer 'w' failed: ZeroDivisionError: division by zero" in said
    assert "counter 'zoo.book.views' is unknown here" in said


def test_status_warns_of_a_server_whose_events_cannot_be_followed(
    run: Run, own_valkey: Valkey, use_cache: Callable[..., None]
) -> None:
    own_valkey.say("ACL SETUSER default -xrevrange")
    use_cache(own_valkey.url)

    code, said = run("status")

    assert code == 1
    assert "cache 'default': its server refuses streams" in said


def test_status_warns_of_a_server_without_a_name(run: Run, own_valkey: Valkey, use_cache: Callable[..., None]) -> None:
    own_valkey.say("ACL SETUSER default -info")
    use_cache(own_valkey.url)

    code, said = run("status")

    assert code == 1
    assert "cache 'default': its server tells no run id" in said


def test_status_warns_of_a_server_that_may_evict_counts(
    run: Run, counter: WriteBehindCounter, own_valkey: Valkey, use_cache: Callable[..., None]
) -> None:
    use_cache(own_valkey.url)
    own_valkey.say("CONFIG SET maxmemory-policy allkeys-lru")

    code, said = run("status")

    assert code == 1
    assert "cache 'default' may evict waiting counts" in said


def test_status_warns_of_masters_that_outlive_a_failover(
    run: Run, own_valkey: Valkey, use_cache: Callable[..., None]
) -> None:
    with Sentinel(own_valkey) as sentinel:
        use_cache("redis://mymaster/0", OPTIONS={"SENTINELS": [sentinel.address]})
        _, careless = run("status")
        own_valkey.say("CONFIG SET min-replicas-to-write 1")
        _, careful = run("status")

    assert "cache 'default': a master that was replaced goes on taking writes" in careless
    assert "goes on taking writes" not in careful


def test_status_fails_when_a_server_is_away(
    run: Run, counter: WriteBehindCounter, own_valkey: Valkey, use_cache: Callable[..., None]
) -> None:
    use_cache(own_valkey.url)
    own_valkey.kill()

    code, said = run("status")

    assert code == 1
    assert "default: down" in said
    assert "zoo.book.views: server away" in said


@pytest.mark.parametrize("words", [[], ["bake"], ["invalidate"], ["status", "--format", "xml"]])
def test_what_it_does_not_know_is_refused(words: list[str], run: Run) -> None:
    assert run(*words)[0] != 0


@pytest.mark.parametrize("every", [True, False])
def test_a_database_is_dumped_past_the_model_that_has_no_table(every: bool) -> None:
    Outbox.objects.create(tags="zoo.book")
    said = io.StringIO()

    call_command("dumpdata", "cachekit", use_base_manager=every, stdout=said)

    assert [one["fields"]["tags"] for one in json.loads(said.getvalue()) if "outbox" in one["model"]] == ["zoo.book"]
