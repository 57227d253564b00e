"""The app of the project."""

from django.apps import AppConfig


class Packages(AppConfig):
    name = "tests.strangers.packages"
    label = "packages"
    default_auto_field = "django.db.models.BigAutoField"
