"""A project with a Channels router of its own, wrapped."""

import os

from channels.generic.websocket import WebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path

import bindserver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")


class Echo(WebsocketConsumer):  # type: ignore[misc]  # channels has no types
    """Says what it hears."""

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        self.send(text_data)


router = URLRouter([path("chat/", Echo.as_asgi())])
application = bindserver.asgi.wrap(
    ProtocolTypeRouter({"http": get_asgi_application(), "websocket": router})
)
