"""The tests' settings, with pgbench's tables in place of the tests' own models."""

from __future__ import annotations

import os

from tests.settings import *
from tests.settings import INSTALLED_APPS

INSTALLED_APPS = [app for app in INSTALLED_APPS if app != "tests.app"]
INSTALLED_APPS += ["tests.projects.pgbench"]
if os.environ.get("PLANTED_FAULT"):
    INSTALLED_APPS += ["tests.faults.servers.PlantedFault"]
ROOT_URLCONF = "tests.projects.pgbench.urls"
