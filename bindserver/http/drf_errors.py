"""What is refused, as DRF answers it."""

from __future__ import annotations

from collections.abc import Mapping

from rest_framework import exceptions, status

from bindserver.engine.protocol import Code
from bindserver.exceptions import (
    Failed,
    Forbidden,
    InvalidParams,
    NoRoom,
    NotFound,
    TooManyRows,
    Unauthenticated,
    UnknownEvent,
    Unsound,
)
from bindserver.http.event_stream import NotOpened


class Unserviceable(exceptions.APIException):
    """The server cannot answer now."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "unavailable"


class Broken(exceptions.APIException):
    """A binding cannot be read; the server's log says why, by the reference in the detail."""

    default_code = "internal"


def answer_to(problem: Exception) -> Exception:
    """Return the exception that has DRF answer a refusal."""
    told = str(problem)
    match problem:
        case InvalidParams(code=code) | NotOpened(code=Code.INVALID_PARAMS as code):
            return exceptions.ValidationError({"detail": told, "code": code})
        case NotOpened(code=code):
            return _BY_CODE.get(code, Unserviceable)(told, code=code)
        case Unauthenticated():
            return exceptions.NotAuthenticated(told)
        case UnknownEvent() | NotFound():
            return exceptions.NotFound(told)
        case Forbidden():
            return exceptions.PermissionDenied(told)
        case Failed() | Unsound():
            return Broken(told)
        case TooManyRows(code=code) | NoRoom(code=code):
            return Unserviceable(told, code=code)
    return Unserviceable("the server cannot answer now; try again later")


_BY_CODE: Mapping[Code, type[exceptions.APIException]] = {
    Code.UNAUTHENTICATED: exceptions.NotAuthenticated,
    Code.UNKNOWN_EVENT: exceptions.NotFound,
    Code.FORBIDDEN: exceptions.PermissionDenied,
    Code.INTERNAL: Broken,
}
"""What has DRF answer a stream that is refused; else the server cannot answer now."""
