"""The app of the project."""

from django.apps import AppConfig


class Habits(AppConfig):
    name = "tests.strangers.habits"
    label = "habits"
    default_auto_field = "django.db.models.BigAutoField"
