"""The app of the mark."""

from django.apps import AppConfig


class Marks(AppConfig):
    name = "tests.strangers.marks"
    label = "strangers_marks"
    default_auto_field = "django.db.models.BigAutoField"
