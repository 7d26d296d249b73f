from typing import Any

from django.db import migrations

FORWARDS = (
    """
    CREATE TABLE cachekit_change (
        tags text NOT NULL, written_at timestamptz NOT NULL, transaction bigint NOT NULL
    ) WITH (
        autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
        autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_threshold = 2147483647
    )
    """,
    # there is no key to name deleted rows by, and a publication FOR ALL TABLES would refuse to delete any
    "ALTER TABLE cachekit_change REPLICA IDENTITY FULL",
)


def forwards(apps: Any, editor: Any) -> None:
    if editor.connection.vendor == "postgresql":
        for statement in FORWARDS:
            editor.execute(statement)


def backwards(apps: Any, editor: Any) -> None:
    if editor.connection.vendor == "postgresql":
        with editor.connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_trigger WHERE tgname IN ('cachekit_insert', 'cachekit_update')")
            if cursor.fetchone()[0]:
                raise RuntimeError("Triggers write into cachekit_change: run manage.py cachekit triggers remove first.")
        editor.execute("DROP TABLE cachekit_change")


class Migration(migrations.Migration):
    dependencies = [("cachekit", "0004_told")]

    operations = [migrations.RunPython(forwards, backwards)]
