"""A project of Django's own apps: what the strangers' runner itself is tried with."""

from tests.strangers.base_settings import *

INSTALLED_APPS = [*DJANGO_APPS, *OUR_APPS, "tests.strangers.small"]
ROOT_URLCONF = "tests.strangers.small.urls"
