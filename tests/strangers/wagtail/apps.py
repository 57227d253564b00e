"""The site's own app: its pages and its bindings."""

from django.apps import AppConfig


class Site(AppConfig):
    name = "tests.strangers.wagtail"
    label = "blog"
    default_auto_field = "django.db.models.BigAutoField"
