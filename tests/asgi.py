"""The ASGI application of the tests' own project."""

import os
from typing import Any

from django.core.asgi import get_asgi_application

import bindserver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")


class Middleware:
    """A project's own, around everything: it hears of each message that is sent.

    With WIRE=hidden no straight way reaches the application; with SENDS=told the log is told of
    each message.
    """

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if os.environ.get("WIRE") == "hidden":
            scope = {**scope, "extensions": {}}

        async def told(message: Any) -> None:
            print(f"sends {message['type']}")
            await send(message)

        is_told = os.environ.get("SENDS") == "told"
        await self._application(scope, receive, told if is_told else send)
        if is_told:
            print(f"the application of a {scope['type']} has ended")


application: Any = bindserver.asgi.wrap(get_asgi_application(), health=True)
"""What bindserver gives."""

if os.environ.keys() & {"SENDS", "WIRE"}:
    application = Middleware(application)
