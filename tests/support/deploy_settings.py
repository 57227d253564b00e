"""The tests' settings at another deploy of the project: DEPLOY names what it has changed."""

from tests.settings import *

INSTALLED_APPS = [*INSTALLED_APPS, "tests.support.deploys.Deploy"]
