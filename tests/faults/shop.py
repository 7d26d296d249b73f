"""One process of a site on PostgreSQL: does what it is told line by line, and keeps its connection as Django does."""

from __future__ import annotations

import sys
from collections.abc import Callable


def main() -> None:
    """Make the tables, then answer each line with one."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import DatabaseError, InterfaceError, close_old_connections, connection, transaction

    from cachekit import cached
    from tests.zoo.models import Author

    call_command("migrate", "cachekit", verbosity=0)
    with connection.schema_editor() as editor:
        editor.create_model(Author)
    connection.settings_dict["CONN_MAX_AGE"] = None
    Author.objects.create(pk=1, name="0")
    runs = []

    @cached(timeout=300)
    def name_of_the_author() -> str:
        runs.append(1)
        return Author.objects.get(pk=1).name

    def read() -> str:
        before = len(runs)
        return f"{name_of_the_author()} {'hit' if len(runs) == before else 'computed'}"

    def write(name: str) -> str:
        with transaction.atomic():
            Author.objects.filter(pk=1).update(name=name)
        return "written"

    def write_slowly(name: str) -> str:
        with transaction.atomic():
            Author.objects.filter(pk=1).update(name=name)
            print("changed", flush=True)
            sys.stdin.readline()
        return "written"

    deeds: dict[str, Callable[..., str]] = {"read": read, "write": write, "write-slowly": write_slowly}
    print("ready", flush=True)
    while line := sys.stdin.readline():
        verb, *words = line.split()
        try:
            answer = deeds[verb](*words)
        except (DatabaseError, InterfaceError):
            answer = "failed"
        close_old_connections()
        print(answer, flush=True)


if __name__ == "__main__":
    main()
