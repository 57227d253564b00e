"""The answer to a request for an event stream: who asks is known by DRF, and looked at again."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.http import StreamingHttpResponse
from rest_framework.authentication import SessionAuthentication
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from bindserver.engine.protocol import Subscribe
from bindserver.http.event_stream import EventStream
from bindserver.http.waiting import let_go_of_thread
from bindserver.websocket.identity import Credentials
from bindserver.websocket.tokens import proof_of

EVENT_STREAM = "text/event-stream"


class EventStreamRenderer(BaseRenderer):
    """Has DRF choose an event stream for who asks for one. It renders nothing: what is refused is
    told as JSON."""

    media_type = EVENT_STREAM
    format = "event-stream"
    charset = None


async def open_stream(request: Request, message: Subscribe) -> EventStream:
    """Return a stream that has been accepted, on its event loop.

    Args:
        request: who asks has been authenticated.
        message: what the client wants.

    Raises:
        NotOpened: the client is not to have it, or not now.
    """
    stream = EventStream(_scope_of(request), *_credentials_of(request))
    opened = await stream.open(message)
    await let_go_of_thread()
    headers = request.headers
    opened.greet(headers.get("Origin"), headers.get("User-Agent"))
    return opened


def response_of(stream: EventStream) -> StreamingHttpResponse:
    """Return the response that a stream is written to."""
    return StreamingHttpResponse(
        stream,
        headers={
            "Content-Type": EVENT_STREAM,
            "Cache-Control": "no-cache, no-transform",
            # What compresses, or a proxy that buffers, would hold events back.
            "Content-Encoding": "identity",
            "X-Accel-Buffering": "no",
        },
    )


def _scope_of(request: Request) -> dict[str, Any]:
    """Return what an `Identity` reads: the request's scope, with its session."""
    plain: Any = request._request
    address = request.META.get("REMOTE_ADDR")
    scope = {**plain.scope, "user": request.user, "client": (address, 0) if address else None}
    if hasattr(plain, "session"):
        scope["session"] = plain.session
    return scope


def _authenticated(by: Any, plain: Any) -> Any:
    return by.authenticate(Request(plain))


def _credentials_of(request: Request) -> tuple[Credentials, float | None]:
    """Return who asks, what is asked to look at that again, and for how many seconds it holds."""
    user, auth, by = request.user, request.auth, request.successful_authenticator
    if by is None or isinstance(by, SessionAuthentication):
        has_session = hasattr(request._request, "session")
        return Credentials(user=user, auth=auth, by_session=has_session), None
    again = partial(_authenticated, by, request._request)
    proof = proof_of((user, auth))
    assert proof is not None
    return Credentials(user=user, auth=auth, again=again), proof.expires
