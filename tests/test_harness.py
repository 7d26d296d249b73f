"""The harness itself: servers, databases and isolation do what the other tests rely on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from tests.servers import Postgres, RedisServer, Valkey
from tests.twins import Call
from tests.zoo.builders import make_book
from tests.zoo.models import Note, Restaurant

ORPHAN = """
import sys, time
from tests.servers import Valkey
server = Valkey().start()
print(server.pid, server.folder, flush=True)
time.sleep(600)
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_killed_owner_leaves_no_server_and_no_folder() -> None:
    owner = subprocess.Popen([sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    pid, folder = owner.stdout.readline().split()

    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()

    deadline = time.monotonic() + 20
    while (alive(int(pid)) or Path(folder).exists()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not alive(int(pid))
    assert not Path(folder).exists()


def test_a_restarted_server_keeps_its_port_and_gets_another_pid(own_valkey: Valkey) -> None:
    before = own_valkey.port, own_valkey.pid

    own_valkey.kill()
    own_valkey.start()

    assert own_valkey.port == before[0]
    assert own_valkey.pid != before[1]
    assert own_valkey.say("PING").startswith("+PONG")


def test_a_paused_server_does_not_answer(own_valkey: Valkey) -> None:
    with own_valkey.paused():
        assert own_valkey.say("PING", seconds=0.5) == ""

    assert own_valkey.say("PING").startswith("+PONG")


@pytest.mark.parametrize("turn", [1, 2])
def test_every_test_starts_with_an_empty_server(valkey: Valkey, turn: int) -> None:
    assert valkey.say("DBSIZE").startswith(":0")

    valkey.say(f"SET left-over {turn}")


def test_the_system_redis_is_not_valkey(redis_server: RedisServer) -> None:
    assert "valkey_version" not in redis_server.say("INFO server")


def test_postgres_answers(postgres: Postgres) -> None:
    import psycopg

    with psycopg.connect(postgres.url) as link:
        row = link.execute("show fsync").fetchone()

    assert row == ("off",)


@pytest.mark.django_db
def test_the_zoo_has_tables() -> None:
    book = make_book()

    note = Note.objects.create(subject=book, text="fine")
    place = Restaurant.objects.create(name="De Kaai", stars=2)

    assert list(book.notes.all()) == [note]
    assert note.content_type == ContentType.objects.get_for_model(book)
    assert place.place_ptr_id == place.pk


@pytest.mark.django_db(transaction=True)
def test_the_database_has_the_name_that_subprocesses_read_from_the_settings() -> None:
    book = make_book()
    code = "import django; django.setup(); from tests.zoo.models import Book; print(Book.objects.get().pk)"

    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert answer.stdout.strip() == str(book.pk)
    assert str(connection.settings_dict["NAME"]) == str(settings.DATABASES["default"]["NAME"])


class Echo:
    def say(self, word: str) -> str:
        return f"called {word}"

    async def asay(self, word: str) -> str:
        return f"awaited {word}"


def test_call_runs_the_function_or_its_twin(call: Call) -> None:
    assert call(Echo().say, "hello") == ("awaited hello" if call.awaited else "called hello")


@pytest.mark.django_db
def test_an_awaited_producer_sees_the_transaction_of_the_test(call: Call) -> None:
    book = make_book()

    def produce() -> int:
        return type(book).objects.count()

    assert call(call.producer(produce)) == 1
