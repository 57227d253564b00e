"""Who is at the other end of a connection, and for how long that holds.

the handshake's session, or its Authorization header, or a token by $auth
  -> proved, and renewed by another $auth
  -> ends when the token does
  -> looked at again every REVALIDATE_SECONDS: logouts, new passwords, withdrawn tokens
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol
from weakref import WeakSet

from django.contrib.auth.signals import user_logged_out

from bindserver.authentication import Proof
from bindserver.clients.handshake import headers_of, packed, unpacked
from bindserver.clients.session_users import user_of
from bindserver.clients.together import Call, in_thread, in_usual_thread, together
from bindserver.clients.tokens import (
    NotProven,
    can_be_proved_again,
    prove,
    prove_by,
    prove_header,
)
from bindserver.conf import conf
from bindserver.cycle.inbox import Caller
from bindserver.cycle.owners import Owner, address_of, owner_of
from bindserver.engine.protocol import Code
from bindserver.logs import Repeats
from bindserver.queries.identity import IdentityEncoder
from bindserver.queries.values import unwrapped
from bindserver.user_code import contained_in_task

_repeats = Repeats(logging.getLogger("bindserver.clients"))

_connected: WeakSet[Identity] = WeakSet()
_lock = threading.Lock()
"""Held while `_connected` is looked at or changed: logouts come from other threads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Who the client is, and what proves it: a token, the session, a request, or nothing.

    Attributes:
        user: who it is.
        auth: how that was proved, as DRF's `request.auth`.
        token: the token that proves it.
        by_session: whether a session does.
        again: asks anew whom the client's request is of, as an authenticator's `authenticate` does;
            called in a thread.
    """

    user: Any = None
    auth: Any = None
    token: str | None = None
    by_session: bool = False
    again: Callable[[], Any] | None = None

    @property
    def is_nobody(self) -> bool:
        return self.user is None or bool(getattr(self.user, "is_anonymous", False))

    def is_same_user(self, other: Credentials) -> bool:
        """Return whether two are one user, or both nobody, whatever has changed in the user's
        row."""
        return self._person() == other._person()

    def is_alike(self, other: Credentials) -> bool:
        """Return whether two are one user in all that is known of them, as in scopes that hang on
        them."""
        one, two = (Caller(user=credentials.user).identity() for credentials in (self, other))
        return one == two

    def says_else(self, other: Credentials) -> bool:
        """Return whether what proves two is known not to be the same: a token that was looked up
        may have fewer scopes by now. What nobody can look into is taken to say what it did."""
        one, two = IdentityEncoder(), IdentityEncoder()
        differ = one.encode(self.auth) != two.encode(other.auth)
        return differ and not (one.unshared or two.unshared)

    def _person(self) -> object:
        if self.is_nobody:
            return None
        user = unwrapped(self.user)
        pk = getattr(user, "pk", None)
        return Caller(user=user).identity() if pk is None else (type(user), pk)


class Subject(Protocol):
    """Whose subscriptions hang on who the client is."""

    def end_all(self, code: Code) -> None:
        """End all subscriptions, since the user is another."""

    def reconsider(self) -> None:
        """Have all subscriptions evaluated again."""


class Identity:
    """Who is at the other end of one connection. It keeps nothing of the handshake's scope but what
    may be looked at again: there are very many of these.

    Args:
        scope: the connection's.
        subject: told when the client is somebody else.
        credentials: who it is, where that is known otherwise than by the scope's user.
        expires: for how many seconds that holds; None for no end.
    """

    __slots__ = (
        "__weakref__", "_address", "_ends", "_handshake", "_left", "_looking", "_looks_alone",
        "_loop", "_now", "_session", "_subject",
    )  # fmt: skip

    def __init__(
        self,
        scope: Any,
        subject: Subject,
        credentials: Credentials | None = None,
        expires: float | None = None,
    ) -> None:
        self._subject = subject
        self._loop = asyncio.get_running_loop()
        self._handshake = packed(scope)
        session = scope.get("session")
        self._session = None if session is None else (session.__class__, session.session_key)
        self._now = credentials or Credentials(
            user=scope.get("user"), by_session=session is not None
        )
        self._address = address_of((scope.get("client") or ("",))[0])
        self._ends: asyncio.TimerHandle | None = None
        self._looking: asyncio.TimerHandle | asyncio.Task[None] | None = None
        self._left = False
        self._looks_alone = False
        self._end_after(expires)
        with _lock:
            _connected.add(self)

    @property
    def caller(self) -> Caller:
        """Who asks, for the hub."""
        now = self._now
        return Caller(user=now.user, auth=now.auth, address=self._address)

    @property
    def owner(self) -> Owner:
        """The client, as connections and views are counted."""
        return owner_of(self.caller) or Owner(None, self._address)

    @property
    def user_key(self) -> str | None:
        """The user's primary key as text, None for nobody."""
        if self._now.is_nobody:
            return None
        key = getattr(unwrapped(self._now.user), "pk", None)
        return "without a key" if key is None else str(key)

    async def greet(self) -> None:
        """Take the handshake's Authorization header, if there is one.

        Raises:
            NotProven: it proves nothing.
            Exception: nobody can tell now.
        """
        headers = self._headers()
        header = headers.get("authorization")
        if header is not None:
            async with asyncio.timeout(conf.AUTHENTICATE_SECONDS):
                proof = await prove_header(header, headers)
            if proof is not None:
                self._adopt(_credentials(proof, header))
                self._end_after(proof.expires)
        self.look_again_later()

    async def prove(self, token: str | None) -> float | None:
        """Take a token, or without one look at the session again; return how long that holds.

        Raises:
            NotProven: it proves nothing.
            Exception: nobody can tell now.
        """
        async with asyncio.timeout(conf.AUTHENTICATE_SECONDS):
            expires: float | None
            if token is None:
                expires = await self._prove_session()
            else:
                proof = await prove(token, self._headers())
                self._adopt(_credentials(proof, token))
                expires = proof.expires
        # The session says by itself when it ends, whenever it is looked at again.
        self._end_after(None if token is None else expires)
        self.look_again_later()
        return expires

    def leave(self) -> None:
        """Let go: the connection is no more."""
        self._left = True
        with _lock:
            _connected.discard(self)
        for waiting in (self._ends, self._looking):
            if waiting is not None:
                waiting.cancel()

    def _headers(self) -> dict[str, str]:
        """Return the handshake's headers by their names in lower case."""
        return headers_of(unpacked(self._handshake))

    # The session.

    async def _prove_session(self) -> float:
        if (session := self._session_now()) is None:
            raise NotProven("the server has no sessions")
        found = await self._read(session)
        if not found.is_nobody:
            self._adopt(found)
            return float(await session.aget_expiry_age())
        if self._now.by_session:
            self._adopt(found)
        raise NotProven("nobody is logged in")

    def _session_now(self) -> Any:
        """Return the session as the database has it now, not as it was at the handshake; None where
        there are none."""
        if self._session is None:
            return None
        kind, key = self._session
        return kind(key)

    async def _read(self, session: Any, call: Call = in_usual_thread) -> Credentials:
        """Return a session's user."""
        with contained_in_task():
            found = Credentials(user=await user_of(session, call), by_session=True)
        # What middleware has hung on the user at the handshake holds on.
        return self._now if self._now.by_session and self._now.is_same_user(found) else found

    def is_of_session(self, key: str) -> bool:
        """Return whether it is a session that proves who the client is, and this one."""
        return (
            self._now.by_session
            and not self._now.is_nobody
            and self._session is not None
            and self._session[1] == key
        )

    def log_out(self) -> None:
        """Called from any thread when the session has ended."""
        with suppress(RuntimeError):  # the loop has been closed, and all its connections with it
            self._loop.call_soon_threadsafe(self._become_nobody, Code.REVOKED)

    # Changes.

    def _adopt(self, credentials: Credentials, code: Code = Code.REVOKED) -> None:
        """Be somebody from now on; end or reconsider what was subscribed as somebody else."""
        before, self._now = self._now, credentials
        if before.is_same_user(credentials):
            if before.auth is not credentials.auth or not before.is_alike(credentials):
                self._subject.reconsider()
        elif before.is_nobody:
            self._subject.reconsider()
        else:
            self._subject.end_all(code)

    def _become_nobody(self, code: Code) -> None:
        if not self._left:
            self._end_after(None)
            self._adopt(replace(Credentials(), by_session=self._now.by_session), code)

    def _end_after(self, seconds: float | None) -> None:
        if self._ends is not None:
            self._ends.cancel()
        self._ends = None
        if seconds is not None:
            self._ends = self._loop.call_later(seconds, self._become_nobody, Code.EXPIRED)

    # Looking again.

    def look_again_later(self) -> None:
        """Keep looking, where there is something to look at that may have ended."""
        if self._looking is None and not self._now.is_nobody:
            # Not all at once.
            self._look_after(conf.REVALIDATE_SECONDS * random.uniform(0.5, 1.0))  # noqa: S311

    def _look_after(self, seconds: float) -> None:
        self._looking = self._loop.call_later(seconds, self._begin_to_look)

    def _begin_to_look(self) -> None:
        self._looking = self._loop.create_task(self._look())

    async def _look(self) -> None:
        wait = conf.REVALIDATE_SECONDS
        try:
            if not self._now.is_nobody:
                await self._look_again()
            self._looks_alone = False
        except Exception as problem:
            if self._looks_alone:
                what = "nobody can tell who a client is now"
                _repeats.note(what, problem, logging.WARNING, traceback=False)
            else:  # it may be another's look that fails, or hangs
                self._looks_alone, wait = True, 0.0
        self._looking = None
        if not self._left and not self._now.is_nobody:
            self._look_after(wait)

    async def _look_again(self) -> None:
        """Look who the client is now; whatever that raises, it is looked at again later.

        Raises:
            Exception: nobody can tell now.
        """
        before = self._now
        try:
            async with asyncio.timeout(conf.AUTHENTICATE_SECONDS):
                found = await self._present(before)
        except NotProven:
            found = Credentials()
        if self._now is not before:
            return  # somebody else by now
        with contained_in_task():  # a user of the project's own is compared
            if found.is_nobody:
                self._become_nobody(Code.REVOKED)
            elif before.is_alike(found) and not before.says_else(found):
                self._now = replace(found, auth=before.auth)
            else:
                self._adopt(found)

    async def _present(self, before: Credentials) -> Credentials:
        """Return who the same proof stands for now."""
        if before.by_session:
            call: Call = in_usual_thread if self._looks_alone else together
            return await self._read(self._session_now(), call)
        call = in_thread if self._looks_alone else together
        if before.again is not None:
            proof = await prove_by(partial(call, before.again))
            return Credentials(user=proof.user, auth=proof.auth, again=before.again)
        if before.token is not None and can_be_proved_again():
            return _credentials(await prove(before.token, self._headers(), call), before.token)
        return before


def _credentials(proof: Proof, token: str) -> Credentials:
    return Credentials(user=proof.user, auth=proof.auth, token=token)


def _hear_logout(sender: Any, request: Any, **_: Any) -> None:
    """End what is connected by a session that is being logged out in this process."""
    key = getattr(getattr(request, "session", None), "session_key", None)
    if key is None:
        return
    with _lock:
        theirs = [identity for identity in _connected if identity.is_of_session(key)]
    for identity in theirs:
        identity.log_out()


user_logged_out.connect(_hear_logout, dispatch_uid="bindserver.clients.identity")
