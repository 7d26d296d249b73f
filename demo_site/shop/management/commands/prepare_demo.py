"""Everything the shop needs before it opens, in one start of Django."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    """Migrate, load the catalogue and create the staff login, as far as it has not been done."""

    help = "Migrate, load the catalogue and create the staff login, as far as it has not been done."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take a limit."""
        parser.add_argument("--limit", type=int, help="load so many stones instead of all")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do the three in turn."""
        call_command("migrate", verbosity=0)
        call_command("load_diamonds", limit=options["limit"], stdout=self.stdout)
        call_command("create_staff", stdout=self.stdout)
