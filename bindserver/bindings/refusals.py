"""What DRF's views answer by 400, 401, 403 or 404 is a refusal, wherever a binding raises it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType

from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404
from rest_framework import exceptions

from bindserver.engine.protocol import Code
from bindserver.exceptions import (
    Denied,
    Forbidden,
    InvalidParams,
    NotFound,
    Refusal,
    Unauthenticated,
)

MEANT: Mapping[int, type[Refusal]] = {
    400: InvalidParams,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    410: NotFound,
    422: InvalidParams,
}
"""What DRF's exceptions, and a project's own of their kind, mean by their status."""

MAX_TEXT = 500


class _Refusing(AbstractContextManager[None]):
    __slots__ = ("_given",)

    def __init__(self, *, given: bool) -> None:
        self._given = given

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not isinstance(problem, Exception):
            return
        refusal = refusal_of(problem, given=self._given)
        if refusal is not None:
            raise refusal from problem


_REFUSING = {given: _Refusing(given=given) for given in (False, True)}


def refusing(*, given: bool) -> AbstractContextManager[None]:
    """Have the code inside refuse where it raises what DRF would answer so.

    Args:
        given: whether a subscriber has given params, which may be what is wrong.

    Raises:
        Refusal: it has.
    """
    return _REFUSING[given]


def refusal_of(problem: Exception, *, given: bool) -> Refusal | None:
    """Return the refusal that somebody's exception means; None for one that is a failure.

    DRF's exceptions are raised to be told. Django's `ValidationError` may also say that a query was
    written wrongly, and is told only where there are params to blame.

    Args:
        problem: what was raised.
        given: whether a subscriber has given params.
    """
    if isinstance(problem, exceptions.APIException):
        kind = MEANT.get(problem.status_code)
        return None if kind is None else kind(words_of(problem.detail)[:MAX_TEXT])
    if isinstance(problem, Http404):
        return NotFound(_said(problem, exceptions.NotFound))
    if isinstance(problem, PermissionDenied):
        return Forbidden(_said(problem, exceptions.PermissionDenied))
    if isinstance(problem, ValidationError) and given:
        return InvalidParams("; ".join(problem.messages)[:MAX_TEXT])
    return None


def code_of_end(refusal: Refusal) -> Code:
    """Return the code by which a subscription ends that is refused when it is looked at again."""
    return Code.REVOKED if isinstance(refusal, Denied) else refusal.code


def _said(problem: Exception, like: type[exceptions.APIException]) -> str:
    """Return what an exception of Django's says; DRF's words where it says nothing."""
    return str(problem)[:MAX_TEXT] or str(like.default_detail)


def words_of(detail: object) -> str:
    """Return what an exception of DRF's says, as one line."""
    if isinstance(detail, Mapping):
        return "; ".join(f"{name}: {words_of(part)}" for name, part in detail.items())
    if isinstance(detail, (list, tuple)):
        return " ".join(words_of(part) for part in detail)
    return str(detail)
