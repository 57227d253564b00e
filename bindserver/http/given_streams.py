"""Event streams for views that are not ours: plain Django's, django-ninja's, or any other's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from rest_framework.authentication import BaseAuthentication
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from bindserver.authentication import Proof
from bindserver.engine.protocol import Subscribe
from bindserver.http.api import StreamingView
from bindserver.http.event_stream import EventStream
from bindserver.http.pending import PendingResponse
from bindserver.http.streaming import EVENT_STREAM, ByView, EventStreamRenderer


def event_stream(
    request: HttpRequest,
    event: str,
    params: Mapping[str, Any] | None = None,
    *,
    proof: Proof | None = None,
) -> HttpResponseBase:
    """Return a stream of a binding, for a view to answer with. It resumes by `Last-Event-ID`, and
    what the client is refused is answered as JSON, with a status.

    Args:
        request: the view's.
        event: the binding's event.
        params: its params.
        proof: who asks, where the view knows; else it is whom DRF's default authentication classes
            take the request to be from.
    """
    view = _GivenStream.as_view(wanted=(event, dict(params or {})), proof=proof)
    answer: HttpResponseBase = view(request)
    return answer


async def aevent_stream(
    request: HttpRequest,
    event: str,
    params: Mapping[str, Any] | None = None,
    *,
    proof: Proof | None = None,
) -> HttpResponseBase:
    """Return the same to a view that is a coroutine function: see `event_stream`."""
    return await sync_to_async(event_stream)(request, event, params, proof=proof)


class _GivenStream(StreamingView):
    """A stream of what another view has named, whatever the client says that it accepts."""

    permission_classes = ()  # the other view's are asked, and the binding's own
    throttle_classes = ()
    versioning_class = None  # its address is the other view's
    wanted: tuple[str, Mapping[str, Any]] = ("", {})
    proof: Proof | None = None

    def get_authenticators(self) -> list[BaseAuthentication]:
        """Return who says who asks."""
        return super().get_authenticators() if self.proof is None else [ByView(self.proof)]

    def perform_content_negotiation(
        self, request: Request, force: bool = False
    ) -> tuple[BaseRenderer, str]:
        """Return what the other view has chosen."""
        return EventStreamRenderer(), EVENT_STREAM

    def get(self, request: Request) -> PendingResponse[EventStream]:
        """Answer with the stream."""
        event, params = self.wanted
        cursor = request.headers.get("Last-Event-ID") or request.query_params.get("cursor")
        return self.stream([Subscribe(event=event, params=params, cursor=cursor)])
