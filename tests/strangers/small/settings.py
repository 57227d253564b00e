"""A project of Django's own apps: what the strangers' runner itself is tried with."""

from tests.strangers.base_settings import *  # noqa: F403

INSTALLED_APPS = [*DJANGO_APPS, *OUR_APPS, "tests.strangers.small"]  # noqa: F405
ROOT_URLCONF = "tests.strangers.small.urls"
