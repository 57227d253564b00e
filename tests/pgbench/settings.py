"""The tests' settings, with pgbench's tables in place of the tests' own models."""

from __future__ import annotations

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS

INSTALLED_APPS = [app for app in INSTALLED_APPS if app != "tests.app"]
INSTALLED_APPS += ["tests.pgbench"]
