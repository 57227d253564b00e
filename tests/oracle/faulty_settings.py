"""The oracle's settings, with a fault planted in the server: ORACLE_FAULT names it."""

from tests.settings import *

INSTALLED_APPS = [*INSTALLED_APPS, "tests.faults.oracle.Faults"]
