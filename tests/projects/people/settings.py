"""A project with its own user model and two databases; ARCHIVE_URL names the second."""

from __future__ import annotations

import os

import dj_database_url

from tests.settings import *
from tests.settings import DATABASES

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "rest_framework",
    "bindserver",
    "tests.projects.people",
]
ROOT_URLCONF = "tests.projects.people.urls"
AUTH_USER_MODEL = "people.Person"
DATABASES["archive"] = {
    **DATABASES["default"],
    **dj_database_url.parse(os.environ["ARCHIVE_URL"]),
}
