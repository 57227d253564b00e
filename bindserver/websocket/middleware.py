"""Sessions and users for a WebSocket's scope, as Channels has them, and patience when the database
that they are in is away."""

from __future__ import annotations

import logging
from typing import Any

from channels.auth import AuthMiddleware
from channels.sessions import CookieMiddleware, SessionMiddleware

from bindserver.clients.connections import connections
from bindserver.clients.session_users import user_of
from bindserver.engine.protocol import SUBPROTOCOL, Closing
from bindserver.logs import Repeats
from bindserver.user_code import contained_in_task

_repeats = Repeats(logging.getLogger("bindserver.websocket"))


class PatientAuthMiddleware(AuthMiddleware):  # type: ignore[misc]  # channels has no types
    """Channels' `AuthMiddleware`, which closes with 1013 where nobody can tell who the user is.

    A client that is told so comes back later; one whose handshake fails may give up.
    """

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        """Put the user into the scope, and go on."""
        scope = dict(scope)
        self.populate_scope(scope)
        try:
            with contained_in_task():
                await self.resolve_scope(scope)
        except Exception as problem:
            _repeats.note("a session cannot be read", problem)
            return await _ask_to_try_later(scope, receive, send)
        return await self.inner(scope, receive, send)

    async def resolve_scope(self, scope: Any) -> None:
        """Find out who the session's user is."""
        scope["user"]._wrapped = await user_of(scope["session"])


async def _ask_to_try_later(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    accept = {"type": "websocket.accept"}
    if SUBPROTOCOL in (scope.get("subprotocols") or ()):
        accept["subprotocol"] = SUBPROTOCOL
    await send(accept)  # only then can a browser's page read the code
    code = int(Closing.TRY_LATER)
    connections.opened["websocket"] += 1
    connections.count_close("websocket", code)
    await send({"type": "websocket.close", "code": code, "reason": "try again later"})


def visitors(inner: Any) -> Any:
    """Return an application with cookies, the session and the user in its scope."""
    return CookieMiddleware(SessionMiddleware(PatientAuthMiddleware(inner)))
