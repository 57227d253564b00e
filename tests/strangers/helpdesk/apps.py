"""The desk's own app: its bindings."""

from django.apps import AppConfig


class Desk(AppConfig):
    name = "tests.strangers.helpdesk"
    label = "strangers_helpdesk"
