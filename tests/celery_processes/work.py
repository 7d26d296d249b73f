"""What the test wants done in processes of the project: `python -m tests.celery_processes.work add`."""

from __future__ import annotations

import json
import random
import sys
import time

import django

KEYS = 12


def prepare() -> None:
    """Make the tables and the rows."""
    from django.core.management import call_command

    from tests.celery_processes.models import Page

    call_command("migrate", run_syncdb=True, verbosity=0)
    Page.objects.bulk_create(Page(title=f"page {n}") for n in range(KEYS))


def add() -> None:
    """Count until the input ends, then print how much was counted; pages 1 to KEYS, and as many words."""
    import select

    from tests.celery_processes.caching import uses, views

    pages = words = 0
    while not select.select([sys.stdin], [], [], 0)[0]:
        n = random.randint(1, 3)
        views.add(random.randint(1, KEYS), n)
        uses.add(f"word {random.randint(1, KEYS)}")
        pages, words = pages + n, words + 1
        time.sleep(0.002)
    print(json.dumps([pages, words]))


def total() -> None:
    """Print the sums in the database and how many keys still wait."""
    from django.db.models import Sum

    from tests.celery_processes.caching import uses, views
    from tests.celery_processes.models import Page, Word

    in_pages = Page.objects.aggregate(n=Sum("views"))["n"] or 0
    in_words = Word.objects.aggregate(n=Sum("uses"))["n"] or 0
    print(json.dumps([[in_pages, in_words], views.waiting() + uses.waiting()]))


def rows() -> None:
    """Print the names of the periodic tasks that stand in the database."""
    from django_celery_beat.models import PeriodicTask

    print(json.dumps(list(PeriodicTask.objects.values_list("name", flat=True))))


if __name__ == "__main__":
    django.setup()
    {"prepare": prepare, "add": add, "sum": total, "rows": rows}[sys.argv[1]]()
