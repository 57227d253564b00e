"""The shop's own app: its bindings."""

from django.apps import AppConfig


class Shop(AppConfig):
    name = "tests.strangers.oscar"
    label = "strangers_oscar"
