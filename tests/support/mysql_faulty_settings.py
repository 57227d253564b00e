"""The tests' settings, with a fault planted in the server: MYSQL_FAULT names it."""

from tests.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "tests.support.mysql_faults.MySQLFault"]  # noqa: F405
