from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Cache",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
            ],
            options={
                "verbose_name": "cache",
                "verbose_name_plural": "caches",
                "permissions": (
                    ("view_cache", "Can view caches, keys and statistics"),
                    ("purge_cache", "Can purge keys, patterns, tags and models"),
                ),
                "managed": False,
                "base_manager_name": "objects",
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="AppliedBatch",
            fields=[
                ("batch", models.CharField(max_length=64, primary_key=True, serialize=False, verbose_name="batch")),
                ("counter", models.CharField(max_length=200, verbose_name="counter")),
                ("rows", models.PositiveIntegerField(verbose_name="rows")),
                ("applied_at", models.DateTimeField(auto_now_add=True, db_index=True, verbose_name="applied at")),
            ],
            options={
                "verbose_name": "applied batch",
                "verbose_name_plural": "applied batches",
                "default_permissions": (),
            },
        ),
    ]
