"""The checker's rows as a Django app."""

from __future__ import annotations

from django.apps import AppConfig


class CheckerConfig(AppConfig):
    """A shop's stock that carries versions."""

    name = "tests.consistency.checker"
    label = "checker"
