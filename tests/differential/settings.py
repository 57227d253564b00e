"""Settings of the comparison with DRF: those of the tests, and its own models."""

from tests.settings import *
from tests.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.differential"]
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
