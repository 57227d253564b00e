"""The tests' settings, with this project's app and routes; the environment has more of them."""

import os

from tests.settings import *

INSTALLED_APPS = [*INSTALLED_APPS, "tests.projects.held"]
ROOT_URLCONF = "tests.projects.held.urls"
if "ATOMIC_REQUESTS" in os.environ:
    DATABASES["default"]["ATOMIC_REQUESTS"] = True
if "SYNCHRONOUS_MIDDLEWARE" in os.environ:
    MIDDLEWARE = ["tests.projects.held.urls.Synchronous", *MIDDLEWARE]
