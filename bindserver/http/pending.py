"""An answer that is made after its view has returned, on the event loop, when what it needs is
here: a snapshot, or the first word of a stream.

The view itself is synchronous, as DRF's are: it authenticates, asks permissions and negotiates the
format, in the request's thread. What it returns is rendered by Django, which awaits `render` where
that is marked as a coroutine function. There the request waits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from asgiref.sync import markcoroutinefunction, sync_to_async
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from rest_framework.response import Response

T = TypeVar("T")


class PendingResponse(Response, Generic[T]):
    """Stands for the answer to a request over ASGI until what it needs is here.

    Args:
        wait: waits for that, on the event loop.
        answer: makes the answer of it.
        refuse: makes the answer where it does not come, or no answer can be made of it.
        in_thread: returns whether making the answer is nothing for the event loop, as where code of
            the project's has a part in it.
    """

    def __init__(
        self,
        wait: Callable[[], Awaitable[T]],
        answer: Callable[[T], HttpResponseBase],
        refuse: Callable[[Exception], HttpResponseBase],
        *,
        in_thread: Callable[[T], bool] = lambda _: False,
    ) -> None:
        super().__init__()
        self._wait = wait
        self._answer = answer
        self._refuse = refuse
        self._in_thread = in_thread
        self._callbacks: list[Callable[[HttpResponseBase], HttpResponseBase | None]] = []

    def add_post_render_callback(self, callback: Callable[[Any], Any]) -> None:
        """Have something called with the answer, which may return another in its place."""
        self._callbacks.append(callback)

    @markcoroutinefunction
    def render(self) -> Any:
        """Return the answer, rendered, once it is awaited."""
        return self._render()

    async def _render(self) -> HttpResponseBase:
        try:
            found = await self._wait()
            if self._callbacks or self._in_thread(found):
                return await sync_to_async(self._made)(found)
            return self._made(found)
        except Exception as problem:  # how that is told may be the project's code
            return await sync_to_async(self._refused)(problem)

    def _made(self, found: T) -> HttpResponseBase:
        return self._replaced_by(self._answer(found))

    def _refused(self, problem: Exception) -> HttpResponseBase:
        return self._replaced_by(self._refuse(problem))

    def _replaced_by(self, answer: HttpResponseBase) -> HttpResponseBase:
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
            rendered: HttpResponseBase = answer.render()
            return rendered
        for callback in self._callbacks:
            answer = callback(answer) or answer
        return answer
