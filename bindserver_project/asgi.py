"""The ASGI application: pages over HTTP, bindings over WebSockets."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

import bindserver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bindserver_project.settings")

application = bindserver.asgi.wrap(get_asgi_application(), health=True)
