"""HTTP answers that a client may keep: their tags, and 304 for a client that has them already."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.http import http_date, parse_etags, quote_etag
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

CURSOR_HEADER = "Bindserver-Cursor"
COMMIT_HEADER = "Bindserver-Commit"
YOUNG_SECONDS = 2.0
CONTENT_HEADERS = frozenset({"content-type", "content-length", "content-language"})
BREAKS = {0x2028: "\\u2028", 0x2029: "\\u2029"}
"""Line breaks to JavaScript and not to JSON, which DRF escapes."""


def tag_of(*parts: str | bytes) -> str:
    """Return the ETag of what is served: equal parts, equal tag, in every process."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
        digest.update(b"\0")
    return quote_etag(digest.hexdigest()[:32])


def is_known(request: HttpRequest | Request, tag: str, modified: float | None) -> bool:
    """Return whether the caller's copy is the present one (RFC 9110, section 13).

    Args:
        request: the caller's.
        tag: the present ETag.
        modified: when what is served last changed, in seconds since 1970; None if nobody knows.
    """
    tags = request.META.get("HTTP_IF_NONE_MATCH")
    if tags is not None:
        known = {known.removeprefix("W/") for known in parse_etags(tags)}
        return "*" in known or tag in known
    if modified is None:
        return False
    # A date names a second, in which more may have happened: exact, and past, or not at all.
    return request.META.get("HTTP_IF_MODIFIED_SINCE") == http_date(int(modified)) and (
        time.time() - modified > YOUNG_SECONDS
    )


def mark(response: HttpResponseBase, tag: str, modified: float | None) -> None:
    """Write into an answer what it may be kept by, and that it must be asked for again."""
    response.headers.setdefault("ETag", tag)
    if modified is not None:
        response.headers.setdefault("Last-Modified", http_date(int(modified)))
    response.headers.setdefault("Cache-Control", "private, no-cache")
    patch_vary_headers(response, ("Accept", "Cookie", "Authorization"))


def not_modified(response: HttpResponse) -> HttpResponse:
    """Return the 304 that stands for an answer, with its headers and cookies."""
    short = HttpResponseNotModified()
    for name, value in response.headers.items():
        if name.lower() not in CONTENT_HEADERS:
            short.headers[name] = value
    short.cookies = response.cookies
    return short


def make_conditional(request: Request, response: Response, modified: float | None = None) -> None:
    """Have an answer tagged by its content once it is rendered, and be 304 where that is known."""

    def finish(rendered: Response) -> HttpResponse | None:
        kind = rendered.headers.get("Content-Type", "")
        mark(rendered, tag_of(kind, rendered.content), modified)
        if is_known(request, rendered.headers["ETag"], modified):
            return not_modified(rendered)
        return None

    response.add_post_render_callback(finish)


class TextResponse(Response):
    """An answer whose JSON text is there already, in pieces; other formats come from its data.

    Args:
        pieces: the JSON texts of the rows, or of one row.
        many: whether the answer is a list.
    """

    def __init__(self, pieces: Sequence[str], *, many: bool) -> None:
        self._pieces: Sequence[str] | None = pieces
        self._many = many
        super().__init__()

    @property
    def text(self) -> str:
        """The answer as JSON text."""
        pieces = self._pieces or ()
        return f"[{','.join(pieces)}]" if self._many else "".join(pieces)

    @property
    def data(self) -> Any:
        """The answer as data; who looks at it may change it, so it is rendered from then on."""
        if self._pieces is not None:
            self._data, self._pieces = json.loads(self.text), None
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        if value is not None:
            self._data, self._pieces = value, None

    @property
    def rendered_content(self) -> Any:
        if self._pieces is None or not renders_alike(self.accepted_renderer, self):
            return super().rendered_content
        self["Content-Type"] = self.accepted_renderer.media_type
        text = self.text
        return (text if text.isascii() else text.translate(BREAKS)).encode()


def renders_alike(renderer: Any, response: Response) -> bool:
    """Return whether DRF would render data to the very text that views keep."""
    if type(renderer) is not JSONRenderer or renderer.ensure_ascii or not renderer.compact:
        return False
    return ";" not in str(response.accepted_media_type)
