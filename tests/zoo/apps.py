"""The app of test models; without migrations, so that its tables follow the models."""

from django.apps import AppConfig


class ZooConfig(AppConfig):
    """Every kind of model and relation that an invalidation must understand."""

    name = "tests.zoo"
    label = "zoo"
    default_auto_field = "django.db.models.BigAutoField"
