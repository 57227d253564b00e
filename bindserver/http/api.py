"""The HTTP transport: the bindings there are, and snapshots with ETag, 304 and a cursor."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.db import InterfaceError, OperationalError, connections, transaction
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from rest_framework import exceptions, status
from rest_framework.renderers import BaseRenderer, BrowsableAPIRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import APIView

from bindserver.bindings import permissions
from bindserver.bindings.params import from_query
from bindserver.bindings.refusals import refusing
from bindserver.bindings.registry import BindingClass, registry
from bindserver.cycle.failure_log import is_of_proof
from bindserver.cycle.inbox import Caller, Snapshot
from bindserver.cycle.owners import address_of
from bindserver.engine.protocol import Subscribe
from bindserver.exceptions import (
    Denied,
    InvalidParams,
    Refusal,
)
from bindserver.http.conditional import CURSOR_HEADER, is_known, mark, tag_of
from bindserver.http.drf_errors import Unserviceable, answer_to
from bindserver.http.event_stream import EventStream, NotOpened
from bindserver.http.own_connection import are_elsewhere, is_asked_here, is_shown_by_row, rows_here
from bindserver.http.pending import PendingResponse
from bindserver.http.streaming import EventStreamRenderer, open_stream, response_of, wanted
from bindserver.http.waiting import (
    client_of,
    give_back_connections,
    has_own_thread,
    wait,
    wait_on_loop,
)
from bindserver.hub.hub import hub
from bindserver.logs import Repeats
from bindserver.queries.key_names import key_name
from bindserver.user_code import contained

ROWS_ON_LOOP = 1_000
"""The text of so many rows is put together on the event loop; for more, others would wait there."""
_repeats = Repeats(logging.getLogger("bindserver.http"))


class PlainAPIView(APIView):
    """A view for projects that do not have DRF among their apps."""

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer; what would end the server's event loop is an error of this request alone.

        Raises:
            BindingError: a project's code wants to end the thread.
        """
        with contained():
            return super().dispatch(request, *args, **kwargs)

    def get_renderers(self) -> list[BaseRenderer]:
        """Return the project's renderers, those that need DRF's templates only where they are."""
        renderers = super().get_renderers()
        if apps.is_installed("rest_framework"):
            return renderers
        return [r for r in renderers if not isinstance(r, BrowsableAPIRenderer)] or [JSONRenderer()]

    def perform_authentication(self, request: Request) -> None:
        """Find out who asks.

        Raises:
            Unserviceable: nobody can tell now, since sessions or tokens cannot be read.
            AuthenticationFailed: the proof is none, and its letters none that could be looked for.
        """
        try:
            super().perform_authentication(request)
        except (InterfaceError, OperationalError) as problem:
            what = "nobody can tell who asks over HTTP"
            _repeats.note(what, problem, logging.WARNING, traceback=False)
            raise Unserviceable from problem
        except Exception as problem:
            if not is_of_proof(problem, request.META.get("HTTP_AUTHORIZATION", "")):
                raise
            raise exceptions.AuthenticationFailed from problem


class BindingList(PlainAPIView):
    """The bindings that the caller may subscribe to."""

    permission_classes = ()  # each binding's own are asked

    def get(self, request: Request) -> Response:
        """Answer with event, key, params and URL of each."""
        caller = Caller(user=request.user, auth=request.auth)
        bindings = [known for known in registry.served() if not is_shown_by_row(known)]
        entries = [_entry(request, caller, binding) for binding in bindings]
        return Response([entry for entry in entries if entry is not None])


def _entry(request: Request, caller: Caller, binding: BindingClass) -> dict[str, Any] | None:
    """Return what is told of a binding; None for one that the caller may not have, as far as can be
    told without params."""
    instance = permissions.bare(binding, caller.user, caller.auth)
    try:
        permissions.ask(instance)
        with refusing(given=False):
            key = key_name(instance)
    except (Denied, InvalidParams):
        return None
    except Exception as problem:  # the project's own code; the other bindings are listed
        _repeats.note(f"{binding.__name__} is not listed", problem)
        return None
    url = reverse("bindserver:snapshot", kwargs={"event": binding.event})
    return {
        "event": binding.event,
        "key": key,
        "params": sorted(binding.params),
        "url": request.build_absolute_uri(url),
    }


class StreamingView(PlainAPIView):
    """A view that answers with event streams to who asks for them."""

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        """Return the view, without the transaction that ATOMIC_REQUESTS would open: it would hold
        a connection while the request waits."""
        view: Any = super().as_view(**initkwargs)
        for alias in connections:
            view = transaction.non_atomic_requests(using=alias)(view)
        return view

    def get_renderers(self) -> list[BaseRenderer]:
        """Return the project's renderers, and one for streams of events where the client names
        them: who would take any text is to have an answer that ends."""
        own = super().get_renderers()
        return [*own, EventStreamRenderer()] if self._names_streams() else own

    def _names_streams(self) -> bool:
        request: Any = getattr(self, "request", None)
        if request is None:
            return False  # whoever describes the API asks without one
        if EventStreamRenderer.media_type in request.META.get("HTTP_ACCEPT", "").lower():
            return True
        by_format = api_settings.URL_FORMAT_OVERRIDE
        return bool(by_format) and request.GET.get(by_format) == EventStreamRenderer.format

    @property
    def default_response_headers(self) -> dict[str, str]:
        """The headers of all answers: each depends on what the client accepts, though the project
        has a single renderer."""
        return {"Vary": "Accept", **super().default_response_headers}

    def is_stream(self) -> bool:
        """Return whether a stream is asked for."""
        renderer = getattr(self.request, "accepted_renderer", None)
        return isinstance(renderer, EventStreamRenderer)

    def stream(
        self, wanted: Sequence[Subscribe], *, named: bool = False
    ) -> PendingResponse[EventStream]:
        """Return what becomes a stream as soon as it is accepted.

        Args:
            wanted: what the client subscribes to.
            named: whether each event names its binding.

        Raises:
            NotAcceptable: there are no streams of this server.
            Unserviceable: nor now.
        """
        request = self.request
        if not isinstance(request._request, ASGIRequest):
            raise exceptions.NotAcceptable("event streams need an ASGI server")
        if are_elsewhere({message.event for message in wanted}):
            raise exceptions.NotAcceptable(
                "no event stream has these rows: the request's database connection is in another "
                "schema or role than the server's, or its thread says which they are"
            )
        try:
            hub.serve()
        except Exception as problem:
            _repeats.note("this process cannot serve yet", problem)
            raise Unserviceable from problem
        return PendingResponse(
            lambda: open_stream(request, wanted, named=named),
            answer=lambda stream: self.finalized(
                response_of(stream, has_body=request.method != "HEAD")
            ),
            refuse=self.refused,
        )

    def handle_exception(self, problem: Exception) -> Response:
        """Return what is told of a problem: as JSON to who has asked for a stream."""
        self._tell_as_json()
        return super().handle_exception(problem)

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        """Return what there is to ask for: as JSON to who has asked for a stream."""
        self._tell_as_json()
        return super().options(request, *args, **kwargs)

    def _tell_as_json(self) -> None:
        if self.is_stream():
            self.request.accepted_renderer = JSONRenderer()
            self.request.accepted_media_type = JSONRenderer.media_type

    def refused(self, problem: Exception) -> HttpResponseBase:
        """Return the answer to who is refused after the view has returned."""
        if isinstance(problem, (Refusal, TimeoutError, NotOpened)):
            problem = answer_to(problem)
        return self.finalized(self.handle_exception(problem))

    def finalized(self, response: Any) -> HttpResponseBase:
        """Return an answer that is made after the view has returned."""
        final: Any = self.finalize_response(self.request, response, *self.args, **self.kwargs)
        answer: HttpResponseBase = final
        return answer


class SeveralStream(StreamingView):
    """One event stream of several bindings, so that a page needs one connection."""

    permission_classes = ()  # each binding's own are asked

    def get(self, request: Request) -> HttpResponseBase:
        """Answer with a stream of all that `subscribe` names."""
        if not self.is_stream():
            raise exceptions.NotAcceptable(
                "this address has event streams alone: Accept: text/event-stream"
            )
        return self.stream(wanted(request), named=True)


class SnapshotView(StreamingView):
    """A binding's rows, or one of them, as they are now."""

    permission_classes = ()  # the binding's own are asked

    def get(self, request: Request, event: str, key: str | None = None) -> HttpResponseBase:
        """Answer with the rows, or 304 where the caller has them already."""
        query = request.query_params.copy()
        for name in ("format", api_settings.URL_FORMAT_OVERRIDE):
            query.pop(name, None)
        if self.is_stream():
            query.pop("cursor", None)
        address = address_of(request.META.get("REMOTE_ADDR"))
        caller = Caller(user=request.user, auth=request.auth, address=address)
        try:
            binding = registry.get(event)
            params = from_query(binding.params, query)
            if self.is_stream():
                return self._stream_of(binding, params, key)
            if is_asked_here(binding):
                return self._answer(rows_here(binding, caller, params), key)
            ask = partial(hub.snapshot, binding, caller, params)
            if isinstance(request._request, ASGIRequest):
                return self._pending(ask, key)
            return self._answer(wait(ask(), client_of(request)), key)
        except (Refusal, TimeoutError) as problem:
            raise answer_to(problem) from None

    def _pending(
        self, ask: Callable[[], Future[Snapshot]], key: str | None
    ) -> PendingResponse[Snapshot]:
        """Return what waits on the event loop; this thread has nothing more to do by then."""
        if has_own_thread():
            give_back_connections()
        client = client_of(self.request)
        by_code = not isinstance(self.request.accepted_renderer, JSONRenderer)
        return PendingResponse(
            lambda: wait_on_loop(ask(), client),
            answer=lambda snapshot: self.finalized(self._answer(snapshot, key)),
            refuse=self.refused,
            in_thread=lambda snapshot: by_code or len(snapshot.rows) > ROWS_ON_LOOP,
        )

    def _stream_of(
        self, binding: BindingClass, params: Mapping[str, Any], key: str | None
    ) -> PendingResponse[EventStream]:
        if key is not None:
            raise exceptions.NotAcceptable("a row has no event stream; its binding has one")
        assert binding.event is not None
        request = self.request
        cursor = request.headers.get("Last-Event-ID") or request.query_params.get("cursor")
        return self.stream([Subscribe(event=binding.event, params=params, cursor=cursor)])

    def _answer(self, snapshot: Snapshot, key: str | None) -> HttpResponse:
        request = self.request
        body, digest = _body(snapshot, key)
        etag = _etag(request, digest)
        # A page for people also shows who is logged in, which no tag of rows can tell.
        page = request.accepted_renderer.media_type == "text/html"
        if not page and is_known(request, etag, snapshot.modified):
            response = HttpResponse(status=status.HTTP_304_NOT_MODIFIED)
            del response.headers["Content-Type"]
        elif isinstance(request.accepted_renderer, JSONRenderer):
            response = HttpResponse(body, content_type="application/json")
        else:
            response = Response(json.loads(body))
        mark(response, etag, snapshot.modified)
        if snapshot.cursor:
            response.headers[CURSOR_HEADER] = snapshot.cursor
        return response


def _body(snapshot: Snapshot, key: str | None) -> tuple[str, str]:
    """Return the JSON text that is served, and a digest of it."""
    if key is None:
        return f"[{','.join(snapshot.rows.values())}]", snapshot.digest
    row = _row(snapshot.rows, key)
    return row, tag_of(row)


def _row(rows: Mapping[int | str, str], key: str) -> str:
    if key in rows:
        return rows[key]
    if key.removeprefix("-").isdecimal() and len(key) < 20 and int(key) in rows:
        return rows[int(key)]
    raise Http404("no such row")


def _etag(request: Request, digest: str) -> str:
    """Return the tag of what is served: rows, format and language, and nothing else."""
    return tag_of(digest, request.accepted_renderer.media_type, settings.LANGUAGE_CODE)
