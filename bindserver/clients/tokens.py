"""Who a token stands for: by DRF's own authenticators, or by a function of the project's own."""

from __future__ import annotations

import datetime
import inspect
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.utils.module_loading import import_string
from rest_framework import exceptions
from rest_framework.authentication import BasicAuthentication, SessionAuthentication
from rest_framework.request import Request
from rest_framework.settings import api_settings

from bindserver.authentication import Proof
from bindserver.clients.together import Call, in_thread
from bindserver.conf import conf
from bindserver.cycle.failure_log import is_of_proof
from bindserver.exceptions import BindserverError
from bindserver.user_code import contained_in_task

NO_TOKENS = (BasicAuthentication, SessionAuthentication)
"""Authenticators that take no tokens."""

NO_TOKEN_SCHEMES = frozenset({"basic", "digest", "negotiate", "ntlm"})
"""Schemes of an Authorization header that a proxy in front of us may want."""

CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""Characters that no header's value has (RFC 9110, section 5.5)."""

NOT_HANDED_ON = frozenset({"authorization", "content-length", "content-type", "cookie"})
"""Headers of the handshake that are not in the request which authenticators are given: another
Authorization stands there, and a handshake has no body."""


class NotProven(BindserverError):
    """The credentials prove nothing; the message is fit for the client's eyes."""


async def prove(token: str, headers: Mapping[str, str], call: Call = in_thread) -> Proof:
    """Return who a token stands for.

    Args:
        token: the token; one with a space in it is a whole Authorization header.
        headers: the handshake's, by their names in lower case.
        call: calls what may wait for the database.

    Raises:
        NotProven: it stands for nobody, or no longer.
        Exception: whatever an authenticator raises that cannot tell.
    """
    function = function_of_the_project()
    if not _is_text(token) or (function is None and not _fits_header(token)):
        raise NotProven("the token is not valid")
    if function is None:
        ask = partial(call, _by_rest_framework, token, headers)
    elif inspect.iscoroutinefunction(function):
        ask = partial(function, token, headers)
    else:
        ask = partial(call, function, token, headers)
    return await prove_by(ask, token)


async def prove_by(ask: Callable[[], Awaitable[Any]], token: str = "") -> Proof:
    """Return who an answer stands for.

    Args:
        ask: asks an authenticator, or a function of the project's own.
        token: what it is asked about.

    Raises:
        NotProven: it stands for nobody, or no longer.
        Exception: whatever is raised by who cannot tell.
    """
    try:
        with contained_in_task():
            found = await ask()
    except PermissionDenied:
        found = None
    except exceptions.APIException as problem:
        if problem.status_code >= 500:
            raise
        found = None
    except Exception as problem:
        if not is_of_proof(problem, token):
            raise
        found = None
    proof = proof_of(found)
    if proof is None or (proof.expires is not None and proof.expires <= 0):
        raise NotProven("the token is not valid")
    return proof


def _is_text(token: str) -> bool:
    """Return whether a token can be written as UTF-8 and asked of any database: JSON can name
    halves of surrogate pairs, and PostgreSQL's strings have no NUL."""
    try:
        token.encode()
    except UnicodeEncodeError:
        return False
    return "\x00" not in token


def _fits_header(token: str) -> bool:
    """Return whether a token could have come in a header, where authenticators expect theirs."""
    try:
        size = len(token.encode("latin-1"))
    except UnicodeEncodeError:
        return False
    return size <= conf.MAX_HEADER_BYTES and not CONTROLS.search(token)


async def prove_header(header: str, headers: Mapping[str, str]) -> Proof | None:
    """Return who an Authorization header stands for, None if it is no business of ours.

    Raises:
        NotProven: it stands for nobody, or no longer.
        Exception: whatever an authenticator raises that cannot tell.
    """
    scheme, _, credentials = header.partition(" ")
    if scheme.lower() in NO_TOKEN_SCHEMES or not credentials:
        return None
    if function_of_the_project() is not None:
        return await prove(credentials, headers)
    return await prove(header, headers) if _authenticators() else None


def can_be_proved_again() -> bool:
    """Return whether a token may be looked at twice; one for a function of the project's own may be
    good for one look."""
    return conf.AUTHENTICATE is None


def function_of_the_project() -> Callable[..., Any] | None:
    """Return what AUTHENTICATE names.

    Raises:
        ImportError: there is no such thing.
    """
    path = conf.AUTHENTICATE
    return None if path is None else import_string(path)


def _authenticators() -> list[Any]:
    classes: Any = api_settings.DEFAULT_AUTHENTICATION_CLASSES
    return [kind() for kind in classes if not issubclass(kind, NO_TOKENS)]


def _by_rest_framework(token: str, headers: Mapping[str, str]) -> Any:
    """Ask each authenticator, with the header that it takes.

    Raises:
        APIException: none knows the token, and one says why.
    """
    problem: exceptions.APIException | None = None
    for authenticator in _authenticators():
        header = token if " " in token else f"{_keyword(authenticator)} {token}"
        try:
            found = authenticator.authenticate(_request(header, headers))
        except exceptions.APIException as raised:
            problem = raised
        else:
            if found is not None:
                return found
    if problem is not None:
        raise problem
    return None


def _keyword(authenticator: Any) -> str:
    """Return how the header of an authenticator begins."""
    named = getattr(authenticator, "keyword", None)
    if isinstance(named, str):
        return named
    challenge = authenticator.authenticate_header(_request("", {}))
    return str(challenge).split()[0] if challenge else "Bearer"


def _request(header: str, headers: Mapping[str, str]) -> Request:
    """Return a request with an Authorization header, and no cookies: the token alone counts."""
    request = HttpRequest()
    request.method = "GET"
    for name, value in headers.items():
        if name not in NOT_HANDED_ON:
            request.META[f"HTTP_{name.upper().replace('-', '_')}"] = value
    request.META["HTTP_AUTHORIZATION"] = header
    return Request(request)


def proof_of(found: Any) -> Proof | None:
    """Return what an authenticator's answer says; None where it stands for nobody."""
    if found is None or isinstance(found, Proof):
        return found
    user, auth, *rest = found
    return Proof(user=user, auth=auth, expires=rest[0] if rest else _seconds_left(auth))


def _seconds_left(auth: Any) -> float | None:
    """Return for how long a token holds, where it says so: a claim `exp`, or a time of expiry."""
    try:
        return float(auth["exp"]) - time.time()
    except (KeyError, TypeError, ValueError, IndexError, OverflowError):
        pass
    for name in ("expires", "expiry"):
        end = getattr(auth, name, None)
        if isinstance(end, datetime.datetime):
            return end.timestamp() - time.time()
    return None
