"""The tests' settings, with the oracle's own bindings beside those of the tests."""

from tests.settings import *

INSTALLED_APPS = [*INSTALLED_APPS, "tests.oracle.apps.Drawn"]
