"""An answer that is made after its view has returned, on the event loop, when its snapshot is here.

The view itself is synchronous, as DRF's are: it authenticates, asks permissions and negotiates the
format, in the request's thread. What it returns is rendered by Django, which awaits `render` where
that is marked as a coroutine function. There the request waits.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from asgiref.sync import markcoroutinefunction, sync_to_async
from django.http import HttpResponse
from django.utils.cache import patch_vary_headers
from rest_framework.response import Response

from bindserver.cycle.inbox import Snapshot
from bindserver.http.waiting import Client, wait_on_loop

ROWS_ON_LOOP = 1_000
"""The text of so many rows is put together on the event loop; for more, others would wait there."""


class PendingResponse(Response):
    """Stands for the answer to a request over ASGI until its snapshot is here.

    Args:
        ask: asks the hub.
        client: who takes a place if the snapshot is not here at once.
        answer: makes the answer.
        refuse: makes the answer where there is no snapshot, or none can be made of it.
        by_code: whether code of the project's has a part in the answer.
    """

    def __init__(
        self,
        ask: Callable[[], Future[Snapshot]],
        client: Client,
        answer: Callable[[Snapshot], HttpResponse],
        refuse: Callable[[Exception], HttpResponse],
        *,
        by_code: bool,
    ) -> None:
        super().__init__()
        self._ask = ask
        self._client = client
        self._answer = answer
        self._refuse = refuse
        self._by_code = by_code
        self._callbacks: list[Callable[[HttpResponse], HttpResponse | None]] = []

    def add_post_render_callback(self, callback: Callable[[Any], Any]) -> None:
        """Have something called with the answer, which may return another in its place."""
        self._callbacks.append(callback)

    @markcoroutinefunction
    def render(self) -> Any:
        """Return the answer, rendered, once it is awaited."""
        return self._render()

    async def _render(self) -> HttpResponse:
        try:
            snapshot = await wait_on_loop(self._ask(), self._client)
            if self._by_code or self._callbacks or len(snapshot.rows) > ROWS_ON_LOOP:
                return await sync_to_async(self._made)(snapshot)
            return self._made(snapshot)
        except Exception as problem:  # how that is told may be the project's code
            return await sync_to_async(self._refused)(problem)

    def _made(self, snapshot: Snapshot) -> HttpResponse:
        return self._replaced_by(self._answer(snapshot))

    def _refused(self, problem: Exception) -> HttpResponse:
        return self._replaced_by(self._refuse(problem))

    def _replaced_by(self, answer: HttpResponse) -> HttpResponse:
        """Return an answer with what this one was given meanwhile, by decorators of the view."""
        for name, value in self.headers.items():
            if name == "Vary":
                patch_vary_headers(answer, [part.strip() for part in value.split(",")])
            elif name != "Content-Type":
                answer.headers.setdefault(name, value)
        answer.cookies.update(self.cookies)
        if isinstance(answer, Response):
            for callback in self._callbacks:
                answer.add_post_render_callback(callback)
            rendered: HttpResponse = answer.render()
            return rendered
        for callback in self._callbacks:
            answer = callback(answer) or answer
        return answer
