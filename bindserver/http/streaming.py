"""The answer to a request for an event stream: what it asks for, and who asks.

Who asks is known by DRF, and looked at again by the same means."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any

from django.http import StreamingHttpResponse
from django.utils.functional import SimpleLazyObject
from rest_framework.authentication import (
    BaseAuthentication,
    BasicAuthentication,
    SessionAuthentication,
)
from rest_framework.exceptions import AuthenticationFailed, ValidationError
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from bindserver.authentication import Proof
from bindserver.clients.identity import Credentials
from bindserver.clients.session_users import by_password, user_in
from bindserver.clients.tokens import proof_of
from bindserver.conf import conf
from bindserver.engine.parsing import Malformed, parse
from bindserver.engine.protocol import Code, Subscribe
from bindserver.http.event_stream import EventStream
from bindserver.http.waiting import let_go_of_thread

EVENT_STREAM = "text/event-stream"
SUBSCRIBE = (
    'say what to subscribe to in ?subscribe=, as a JSON list such as [{"event": "products"}], '
    "with params and a cursor where there are any"
)


class EventStreamRenderer(BaseRenderer):
    """Has DRF choose an event stream for who asks for one. It renders nothing: what is refused is
    told as JSON."""

    media_type = EVENT_STREAM
    format = "event-stream"
    charset = None


class ByView(BaseAuthentication):
    """Takes a request to be from whom a view says.

    Args:
        proof: the view's word.
    """

    def __init__(self, proof: Proof) -> None:
        self.proof = proof

    def authenticate(self, request: Request) -> tuple[Any, Any]:
        """Return who asks, and how that was proved.

        Raises:
            AuthenticationFailed: that is over.
        """
        if self.proof.expires is not None and self.proof.expires <= 0:
            raise AuthenticationFailed
        return self.proof.user, self.proof.auth


def wanted(request: Request) -> list[Subscribe]:
    """Return what a request for one stream of several bindings asks for: a JSON list.

    The id of the stream's last event, where the client has one, names the cursors of all.

    Raises:
        ValidationError: it is no such list.
    """
    try:
        items = json.loads(request.query_params.get("subscribe", ""))
        messages = [_message(item) for item in items]
    except (ValueError, TypeError, RecursionError) as problem:
        told = str(problem) if isinstance(problem, Malformed) else SUBSCRIBE
        raise ValidationError({"detail": told, "code": Code.MALFORMED}) from None
    if not 0 < len(messages) <= conf.MAX_SUBSCRIPTIONS:
        told = f"subscribe to 1 binding at least, and to {conf.MAX_SUBSCRIPTIONS} at most"
        raise ValidationError({"detail": told, "code": Code.TOO_MANY_SUBSCRIPTIONS})
    last = request.headers.get("Last-Event-ID")
    cursors = last.split(",") if last else []
    if len(cursors) != len(messages):
        return messages
    return [replace(m, cursor=c or None) for m, c in zip(messages, cursors, strict=True)]


def _message(item: Any) -> Subscribe:
    if not isinstance(item, dict):
        raise TypeError
    data = {name: item.get(name) for name in ("params", "cursor", "page_size")}
    message = parse(json.dumps({"event": item.get("event"), "data": data}))
    if not isinstance(message, Subscribe):
        raise Malformed("events that begin with $ are no bindings")
    return message


async def open_stream(request: Request, wanted: Sequence[Subscribe], *, named: bool) -> EventStream:
    """Return a stream that has been accepted, on its event loop.

    Args:
        request: who asks has been authenticated.
        wanted: what the client subscribes to.
        named: whether each event names its binding.

    Raises:
        NotOpened: the client is not to have it, or not now.
    """
    scope, (credentials, expires) = _scope_of(request), _credentials_of(request)
    stream = EventStream(scope, credentials, expires, wanted, named=named)
    opened = await stream.open()
    await let_go_of_thread()
    headers = request.headers
    opened.greet(headers.get("Origin"), headers.get("User-Agent"))
    return opened


def response_of(stream: EventStream, *, has_body: bool = True) -> StreamingHttpResponse:
    """Return the response that a stream is written to.

    Args:
        stream: the stream.
        has_body: whether the client wants more than the headers; else the stream ends here.
    """
    if not has_body:
        stream.close()
    return StreamingHttpResponse(
        stream if has_body else _nothing(),
        headers={
            "Content-Type": EVENT_STREAM,
            "Cache-Control": "no-cache, no-transform",
            # What compresses, or a proxy that buffers, would hold events back.
            "Content-Encoding": "identity",
            "X-Accel-Buffering": "no",
        },
    )


async def _nothing() -> AsyncIterator[bytes]:
    none: tuple[bytes, ...] = ()
    for part in none:
        yield part


def _scope_of(request: Request) -> dict[str, Any]:
    """Return what an `Identity` reads: the request's scope, with its session."""
    plain: Any = request._request
    address = request.META.get("REMOTE_ADDR")
    scope = {**plain.scope, "user": request.user, "client": (address, 0) if address else None}
    if hasattr(plain, "session"):
        scope["session"] = plain.session
    return scope


def _authenticated(by: Any, plain: Any, by_middleware: bool) -> Any:
    return by.authenticate(Request(_with_user_of_now(plain) if by_middleware else plain))


def _with_user_of_now(plain: Any) -> Any:
    """Return a request as Django's middleware would give it to a view now: a project's class may
    take its user for who asks, and DRF and Django keep the one that was found at first."""
    request = copy(plain)
    request.session = type(plain.session)(plain.session.session_key)
    request.user = SimpleLazyObject(lambda: _user_now(request.session, plain.user))
    return request


def _user_now(session: Any, before: Any) -> Any:
    # Its module has models, and not every project has users.
    from django.contrib.auth.models import AnonymousUser

    found = user_in(session) or AnonymousUser()
    # What middleware has hung on the user holds on.
    return before if found == before else found


def _compares_passwords(by: Any) -> bool:
    """Return whether an authenticator does nothing but what DRF's own for passwords does."""
    own = BasicAuthentication
    return isinstance(by, own) and (
        (type(by).authenticate, type(by).authenticate_credentials)
        == (own.authenticate, own.authenticate_credentials)
    )


def _with_same_password(read: Callable[[], Any], said: str, authenticate: Callable[[], Any]) -> Any:
    """Return the user as an authenticator would, if the row still has the password that was shown.

    A password is hashed on purpose so that it takes long. Each stream would hash it every few
    seconds, and a few dozen streams would be all that a core does.

    Args:
        read: returns the user as the database has it now, None for nobody.
        said: what the row said of the password.
        authenticate: shows the password again.
    """
    found = read()
    if found is None or not found.is_active or found.get_session_auth_hash() != said:
        return authenticate()  # a new password, or a new hash of the same
    return found, None


def _credentials_of(request: Request) -> tuple[Credentials, float | None]:
    """Return who asks, what is asked to look at that again, and for how many seconds it holds."""
    user: Any = request.user
    auth, by = request.auth, request.successful_authenticator
    if by is None or isinstance(by, SessionAuthentication):
        has_session = hasattr(request._request, "session")
        return Credentials(user=user, auth=auth, by_session=has_session), None
    if isinstance(by, ByView):  # there is nobody to ask again
        return Credentials(user=user, auth=auth), by.proof.expires
    plain: Any = request._request
    by_middleware = hasattr(plain, "session") and getattr(plain, "_cached_user", None) == user
    again = partial(_authenticated, by, plain, by_middleware)
    if _compares_passwords(by) and (found := by_password(user)) is not None:
        again = partial(_with_same_password, found, user.get_session_auth_hash(), again)
    proof = proof_of((user, auth))
    assert proof is not None
    return Credentials(user=user, auth=auth, again=again), proof.expires
