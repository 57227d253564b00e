"""The tests' settings, with a fault planted in the server: ORACLE_FAULT names it."""

from tests.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "tests.faults.oracle.Faults"]  # noqa: F405
