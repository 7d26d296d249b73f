import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("cachekit", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="Outbox",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("tags", models.TextField(verbose_name="tags")),
                ("aliases", models.CharField(blank=True, max_length=500, verbose_name="aliases")),
                ("written_at", models.DateTimeField(default=django.utils.timezone.now, verbose_name="written at")),
                (
                    "transaction",
                    models.BigIntegerField(blank=True, editable=False, null=True, verbose_name="transaction"),
                ),
            ],
            options={
                "verbose_name": "undelivered invalidation",
                "verbose_name_plural": "undelivered invalidations",
                "default_permissions": (),
            },
        ),
    ]
