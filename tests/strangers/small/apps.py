"""The app of the smallest project."""

from django.apps import AppConfig


class Small(AppConfig):
    name = "tests.strangers.small"
    label = "strangers_small"
