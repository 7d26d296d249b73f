"""One process of the checker: `python -m tests.consistency.checker.worker reader reader1 --seed 7`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import django
from django.db import connection

from tests.consistency.checker.subjects import SUBJECTS, Subject
from tests.consistency.checker.world import FIRST_STAMP, ITEMS, shelf_of

PREPARE = """
CREATE SEQUENCE checker_stamps START 1000;
CREATE TABLE checker_journal (stamp bigint PRIMARY KEY);
"""
WATCH_OUTBOX = """
CREATE TABLE public.checker_outbox (id bigint, deleted boolean, tags text, at timestamptz);
CREATE FUNCTION checker_watch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF TG_OP = 'DELETE' THEN
    INSERT INTO public.checker_outbox VALUES (OLD.id, true, '', clock_timestamp());
  ELSE
    INSERT INTO public.checker_outbox VALUES (NEW.id, false, NEW.tags, clock_timestamp());
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER checker_watch AFTER INSERT OR DELETE ON cachekit_outbox FOR EACH ROW EXECUTE FUNCTION checker_watch();
"""


def main() -> None:
    """Do what the command line says, until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=["prepare", "reader", "writer", "outsider", "relay"])
    parser.add_argument("name", nargs="?", default="")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.consistency.checker.settings")
    warnings.simplefilter("ignore")
    django.setup()
    subject: Subject = SUBJECTS[os.environ["CHECKER_SUBJECT"]]
    if asked.role == "prepare":
        prepare(subject)
        return
    threading.Thread(target=end_with_the_owner, daemon=True).start()
    if asked.role == "relay":
        from django.core.management import call_command

        call_command("cachekit", "relay")
    else:
        work(subject, asked.role, asked.name, asked.seed)


def end_with_the_owner() -> None:
    """End when the input ends, which is when the process that started this one has gone."""
    sys.stdin.read()
    os._exit(1)


def prepare(subject: Subject) -> None:
    """Make the tables and rows of a subject's database."""
    from django.core.management import call_command

    from tests.consistency.checker.models import Item, Label

    call_command("migrate", run_syncdb=True, verbosity=0)
    label = Label.objects.create(pk=FIRST_STAMP)
    for number in range(1, ITEMS + 1):
        Item.objects.create(pk=number, shelf=shelf_of(number), stamp=FIRST_STAMP).labels.add(label)
    with connection.cursor() as cursor:
        cursor.execute(PREPARE)
        if "cachekit" in subject.apps:
            cursor.execute(WATCH_OUTBOX)
    if subject.triggers:
        call_command("cachekit", "triggers", "install", "checker.Item", "checker.Label", "checker.Item_labels")


def work(subject: Subject, role: str, name: str, seed: int) -> None:
    """Read or write until SIGTERM."""
    from tests.consistency.checker import doors
    from tests.consistency.checker.clock import clock
    from tests.consistency.checker.outsider import Outsider
    from tests.consistency.checker.reader import Reader
    from tests.consistency.checker.writer import Writer

    clock.install()
    folder, over = Path(os.environ["CHECKER_FOLDER"]), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    if role == "outsider":
        Outsider(folder, name, seed).run(over.is_set)
        return
    through: doors.Doors = getattr(doors, subject.doors)()
    if role == "writer":
        Writer(through, folder, name, seed).run(over.is_set)
        return
    reader = Reader(through, folder, name, seed)

    def fork(*_: Any) -> None:
        reader.wanted_forks += 1

    signal.signal(signal.SIGUSR1, fork)
    reader.run(over.is_set)


if __name__ == "__main__":
    main()
