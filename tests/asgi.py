"""The ASGI application of the tests' own project."""

import os

from django.core.asgi import get_asgi_application

import bindserver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

application = bindserver.asgi.wrap(get_asgi_application(), health=True)
