"""Whose session a connection's is. Looking changes nothing in it: no cookie can be set here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.auth import (
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    SESSION_KEY,
    get_user_model,
    load_backend,
)
from django.utils.crypto import constant_time_compare

from bindserver.clients.together import Call, in_usual_thread
from bindserver.cycle.failure_log import is_of_proof


async def user_of(session: Any, call: Call = in_usual_thread) -> Any:
    """Return the user of a session as the database has it now, an anonymous one if it has none.

    It is as with `django.contrib.auth.get_user`, which however gives a session that a secret of
    SECRET_KEY_FALLBACKS has made another key: the cookie would be of no session then. Channels'
    own deletes such a session. A key that no session can have, such as one with a NUL, is like any
    that none has.

    Args:
        session: the session; what it holds may be read.
        call: calls what may wait for the database.

    Raises:
        Exception: nobody can tell now.
    """
    try:
        found = await call(user_in, session)
    except Exception as problem:
        if not is_of_proof(problem, str(session.session_key)):
            raise
        found = None
    # Its module has models, and not every project has users.
    from django.contrib.auth.models import AnonymousUser

    return found or AnonymousUser()


def by_password(user: Any) -> Callable[[], Any] | None:
    """Return what reads a user whom `authenticate` has found, if Django's own backend did, so that
    the row has the password that was shown; it returns None where there is nobody any more.

    Another backend may know passwords that no row has, as a directory's does.
    """
    # Its module has models, and not every project has users.
    from django.contrib.auth.backends import ModelBackend

    path = getattr(user, "backend", None)
    if path is None or not hasattr(user, "get_session_auth_hash"):
        return None
    backend = load_backend(path)
    if getattr(type(backend), "authenticate", None) is not ModelBackend.authenticate:
        return None
    return partial(backend.get_user, user.pk)


def user_in(session: Any) -> Any:
    """Return the user of a session, None if it has none; called in a thread."""
    key, path = session.get(SESSION_KEY), session.get(BACKEND_SESSION_KEY)
    if key is None or path not in settings.AUTHENTICATION_BACKENDS:
        return None
    user = load_backend(path).get_user(get_user_model()._meta.pk.to_python(key))
    return user if _is_verified(session, user) else None


def _is_verified(session: Any, user: Any) -> bool:
    """Return whether a session is of the user's present password and of a secret of ours."""
    if not hasattr(user, "get_session_auth_hash"):
        return True
    said = session.get(HASH_SESSION_KEY)
    return bool(said) and any(constant_time_compare(said, one) for one in _hashes(user))


def _hashes(user: Any) -> Iterator[str]:
    yield user.get_session_auth_hash()
    yield from user.get_session_auth_fallback_hash()
