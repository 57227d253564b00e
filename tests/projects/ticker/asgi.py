"""The ticker: a consumer that passes on what the group hears, beside the bindings."""

import os
from typing import Any

from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.projects.ticker.settings")
http = get_asgi_application()

from bindserver.asgi import wrap  # noqa: E402  (needs apps to be loaded)


class Ticker(AsyncJsonWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    """Sends each message of the group "shelf" to its client."""

    groups = ["shelf"]

    async def bindserver_message(self, message: Any) -> None:
        await self.send_json(message)


application = wrap(
    ProtocolTypeRouter({"http": http, "websocket": URLRouter([path("ticker/", Ticker.as_asgi())])})
)
