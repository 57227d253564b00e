"""The tests' settings, with a fault planted in the server: PLANTED_FAULT names it."""

from tests.settings import *

INSTALLED_APPS = [*INSTALLED_APPS, "tests.faults.servers.PlantedFault"]
