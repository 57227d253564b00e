"""Settings of the benchmarks: those of the tests, a project's board beside them, and many views."""

from tests.settings import *  # noqa: F403
from tests.settings import BINDSERVER, INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "benchmarks.board"]
BINDSERVER = {"MAX_VIEWS": 1_000_000, "MAX_CONNECTIONS_PER_CLIENT": 100_000, **BINDSERVER}
