"""Migration operations for PostgreSQL."""

from __future__ import annotations

from typing import Any

from django.db import router
from django.db.migrations.operations.base import Operation, OperationCategory

from cachekit import triggers


class InstallTriggers(Operation):
    """Have statement-level triggers write down what any client changes of these models, for the relay.

    `InstallTriggers("shop.Product", "shop.Shelf")`. Its migration depends on `("cachekit", "0005_change")`. Other
    databases than PostgreSQL are left alone. Declared indexes whose columns do not exist yet are told as a whole until
    the triggers are refreshed, which `migrate` does when it is done.
    """

    reversible = True
    category = OperationCategory.SQL

    def __init__(self, *labels: str) -> None:
        self.labels = labels

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """Return what a migration file needs to make this again."""
        return type(self).__qualname__, list(self.labels), {}

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Change no model."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Make the triggers."""
        connection = schema_editor.connection
        for model in self._models(schema_editor, to_state):
            with connection.cursor() as cursor:
                columns = connection.introspection.get_table_description(cursor, model._meta.db_table)
            place = triggers.Place.of(connection.alias)
            for statement in triggers.statements(place, model, [one.name for one in columns]):
                schema_editor.execute(statement, None)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Drop the triggers."""
        triggers.remove(schema_editor.connection.alias, self._models(schema_editor, from_state))

    def describe(self) -> str:
        """Say what this does, for `migrate`."""
        return f"Install cachekit's triggers on {', '.join(self.labels)}"

    @property
    def migration_name_fragment(self) -> str:
        """Return a part of a migration's name."""
        return "cachekit_triggers"

    def _models(self, schema_editor: Any, state: Any) -> list[Any]:
        """Return the models as this migration knows them, with the indexes that they declare now."""
        connection = schema_editor.connection
        if connection.vendor != "postgresql":
            return []
        found = []
        for label in self.labels:
            model = state.apps.get_model(label)
            if router.allow_migrate_model(connection.alias, model):
                found.append(triggers.as_declared(model))
        return found
