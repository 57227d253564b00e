"""Routes for a Channels `URLRouter`."""

from __future__ import annotations

from django.urls import re_path

from bindserver.transports.websocket import BindingConsumer

websocket_urlpatterns = [re_path(r"^ws/?$", BindingConsumer.as_asgi())]
