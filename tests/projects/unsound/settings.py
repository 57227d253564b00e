"""Settings of the project whose bindings are declared wrongly."""

from __future__ import annotations

from tests.settings import *
from tests.settings import DATABASES, INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.projects.unsound"]
ROOT_URLCONF = "tests.projects.unsound.urls"
DATABASES = {
    **DATABASES,
    "odd": {"ENGINE": "tests.projects.unsound.odd", "NAME": ":memory:"},
    "switching": {"ENGINE": "tests.projects.unsound.switching", "NAME": ":memory:"},
}
