"""A writer killed between any two steps of a write leaves nothing that is stale for longer than its intent."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time

import pytest
from django.db import connections

from cachekit import cached, hooks
from tests.zoo.builders import make_book
from tests.zoo.models import Book

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.processes]
LEASE = 3.0
PATIENCE = 60.0
WRITER = """
    import functools, os, django
    django.setup()
    from django.db import transaction
    from cachekit import intents
    from cachekit.core import steps
    from cachekit.stores import store_for
    from tests.zoo.models import Book

    def die(*_):
        os.kill(os.getpid(), 9)

    intents.Intend = functools.partial(steps.Intend, lease={lease})
    store, real = store_for("default"), store_for("default").do
    place = {place!r}

    def do(step):
        if place == "before the intent" and isinstance(step, steps.Intend):
            die()
        if place == "before settling" and isinstance(step, steps.Invalidate):
            die()
        done = real(step)
        if place == "before COMMIT" and isinstance(step, steps.Intend):
            die()
        if place == "after settling" and isinstance(step, steps.Invalidate):
            die()
        return done

    posted = store.post

    def post(step, lost):
        if place == "before settling":
            die()
        posted(step, lost)
        if place == "after settling":
            die()

    store.do, store.post = do, post
    with transaction.atomic():
        Book.objects.filter(pk={pk}).update(title="new")
"""
PLACES = {
    # where the writer dies, and whether its COMMIT has landed
    "before the intent": False,
    "before COMMIT": False,
    "before settling": True,
    "after settling": True,
}


@cached(600)
def title(pk: int) -> str:
    return Book.objects.get(pk=pk).title


@pytest.mark.parametrize("place", PLACES)
def test_a_writer_killed(place: str) -> None:
    book = make_book("old")
    assert title(book.pk) == "old"
    code = textwrap.dedent(WRITER).format(place=place, pk=book.pk, lease=LEASE)

    done = subprocess.run([sys.executable, "-c", code], env=os.environ, check=False, capture_output=True, text=True)

    assert done.returncode == -9, done.stderr
    connections.close_all()
    truth = "new" if PLACES[place] else "old"
    assert Book.objects.get(pk=book.pk).title == truth
    assert title(book.pk) == truth
    _kept_in_the_end(book.pk, truth)


def _kept_in_the_end(pk: int, truth: str) -> None:
    """Assert that reads stay true, and that they are hits once the intent has passed."""
    results: list[str] = []
    hooks.subscribe(hooks.Lookup, listener := (lambda event: results.append(event.result)))
    deadline = time.monotonic() + PATIENCE
    try:
        while results[-1:] != ["hit"] and time.monotonic() < deadline:
            assert title(pk) == truth
            time.sleep(0.1)
    finally:
        hooks.unsubscribe(hooks.Lookup, listener)
    assert results[-1] == "hit"
