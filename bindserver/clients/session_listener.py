"""What every transport does for a client's session, whatever its frames are written to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from bindserver.clients.identity import Identity
from bindserver.conf import conf
from bindserver.cycle.inbox import SessionRequest
from bindserver.engine.effects import AwaitWrite, Close, Effect, HubEffect, Prove
from bindserver.engine.events import Event, Rejected
from bindserver.engine.frames import Frame
from bindserver.engine.protocol import Code
from bindserver.engine.session import Session
from bindserver.exceptions import Refusal
from bindserver.hub.hub import hub


class SessionListener:
    """Hears the hub for one client, and has done what its session wants. A transport derives from
    it; there are very many of these, so it has no attributes of its own.

    Attributes:
        loop: the event loop that all of this happens on.
    """

    __slots__ = ()

    loop: asyncio.AbstractEventLoop
    _session: Session
    _identity: Identity

    # What a transport says.

    def _end_with(self, close: Close) -> None:
        """Called when the session wants the connection closed; the first call counts."""
        raise NotImplementedError

    def _wake(self) -> None:
        """Called when there may be something to write."""
        raise NotImplementedError

    # From the hub.

    def hear(self, number: int, event: Event) -> None:
        """Take an event about the subscription or question `number`."""
        self._perform(self._session.hear(number, event))

    # From the identity.

    def end_all(self, code: Code) -> None:
        """End all subscriptions, since the user is another."""
        self._perform(self._session.end_all(code))

    def reconsider(self) -> None:
        """Have all subscriptions evaluated again."""
        self._perform(self._session.reconsider())

    # The session's effects.

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Close():
                    self._end_with(effect)
                case Prove():
                    pass  # proving takes its time: whoever takes messages waits for it
                case _:
                    self._request(effect)
        self._wake()

    def _request(self, effect: HubEffect) -> None:
        try:
            hub.request(
                SessionRequest(self, self._identity.caller, effect, line=self._session.line)
            )
        except Refusal as refusal:
            self.hear(effect.number, Rejected(code=refusal.code, detail=str(refusal)))
            return
        if isinstance(effect, AwaitWrite):  # whatever it is that may take so long
            unknown = Rejected(code=Code.UNAVAILABLE, detail="that is not known in time")
            limit = self.loop.call_later(conf.SNAPSHOT_SECONDS, self.hear, effect.number, unknown)
            self._session.limit_wait(effect.number, limit.cancel)

    def _next_frame(self) -> Frame | None:
        """Return the next frame to write; None when all is written."""
        for item in self._session.next_frame():
            if isinstance(item, Frame):
                return item
            self._perform([item])
        return None

    # What a listener must say, too: see `cycle.inbox.Listener`.

    def fail(self) -> None:
        """Give up: an event could not be taken, so the client's copy may be wrong."""
        raise NotImplementedError

    def settle(self, state: str) -> None:
        """Called when all frames of one committed state are here."""
        raise NotImplementedError
