"""The tests' settings, for a server that also tells what its event loop has."""

from tests.settings import *

ASGI_APPLICATION = "tests.soak.asgi.application"
