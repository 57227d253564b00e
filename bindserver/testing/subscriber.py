"""A subscriber in a test: what a client would have, from the frames that it would be sent."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from bindserver.bindings.registry import BindingClass
from bindserver.client.replica import Replica
from bindserver.conf import conf
from bindserver.cycle.inbox import Caller, Request, SessionRequest
from bindserver.engine.changes import Key
from bindserver.engine.effects import Close, Effect, Prove
from bindserver.engine.events import Event
from bindserver.engine.frames import Frame
from bindserver.engine.session import Session

Data = dict[str, Any]


class Refused(AssertionError):
    """The server would not serve this subscription.

    Attributes:
        code: the wire contract's code, such as "forbidden" or "invalid_params".
        detail: what the client would be told.
    """

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail


class Subscriber:
    """One subscription of one client. `Live.subscribe` makes it.

    Attributes:
        event: the binding's event.
        user: who subscribed; None for an anonymous user.
        params: the canonical params, defaults filled in.
        key: the name of the row field that holds the key.
        frames: the `data` of every frame that came, in order, since the beginning or `clear()`.
        ended: the code that the server ended the subscription with, such as "revoked".
        error: the last refusal, None if there was none.
    """

    loop: Any = None  # nobody brings events to one but the test itself

    def __init__(
        self,
        *,
        binding: BindingClass,
        caller: Caller,
        params: Mapping[str, Any],
        cycle: Callable[[Request], None],
        commit: Callable[[], None],
    ) -> None:
        self.event: str = binding.event or ""
        self.user = caller.user
        self.params: Data = dict(params)
        self.key = ""
        self.frames: list[Data] = []
        self.ended: str | None = None
        self.error: Refused | None = None
        self._caller = caller
        self._given = dict(params)
        self._ask_cycle = cycle
        self._commit = commit
        self._session = Session(conf.limits())
        self._replica: Replica | None = None
        self._subscribed = False

    # What a test asks.

    @property
    def rows(self) -> list[Data]:
        """The rows as the client has them, in order: plain dicts, as JSON carries them."""
        return [] if self._replica is None else self._replica.rows

    @property
    def keys(self) -> list[Key]:
        """The rows' keys, in order."""
        return [] if self._replica is None else self._replica.held

    @property
    def cursor(self) -> str | None:
        """The newest cursor that came."""
        return None if self._replica is None else self._replica.cursor

    @property
    def stale(self) -> bool:
        """Whether the client was told that its rows may be old."""
        return self._replica is not None and self._replica.stale

    @property
    def subscribed(self) -> bool:
        """Whether the subscription stands."""
        return self._subscribed

    @property
    def actions(self) -> list[str]:
        """The action of each frame; an answer in pages counts once."""
        return [f["action"] for f in self.frames if f.get("page", 1) == f.get("pages", 1)]

    @property
    def changes(self) -> list[tuple[str, Any]]:
        """Every frame's (action, payload), batches taken apart."""
        found: list[tuple[str, Any]] = []
        for frame in self.frames:
            if frame["action"] == "batch":
                found.extend((change["action"], change["payload"]) for change in frame["payload"])
            else:
                found.append((frame["action"], frame.get("payload")))
        return found

    def get(self, key: Key) -> Data:
        """Return the row with a key.

        Raises:
            KeyError: the client has none.
        """
        for row in self.rows:
            if row[self.key] == key:
                return row
        raise KeyError(key)

    def clear(self) -> None:
        """Forget the frames so far; the rows stay."""
        self.frames.clear()

    def unsubscribe(self) -> None:
        """Say that the client wants no more."""
        self._say({"disconnect": True})
        self._commit()

    def resume(self) -> None:
        """Come back after `unsubscribe()`, as a client does that was away: with its cursor and the
        keys of its rows; it is sent what it missed."""
        self.open(cursor=self.cursor, held=self.keys)

    def __len__(self) -> int:
        return len(self.rows)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        state = f"ended: {self.ended}" if self.ended else f"{len(self.rows)} rows"
        return f"<Subscriber of {self.event!r}, {state}>"

    # The conversation.

    def open(self, *, cursor: str | None = None, held: Sequence[Key] | None = None) -> None:
        """Subscribe, and be answered.

        Raises:
            Refused: the server would not serve it.
        """
        self.ended = self.error = None
        data: Data = {}
        if cursor is not None:
            data["cursor"] = cursor
        if held is not None:
            data["held"] = list(held)
        self._say(data)
        try:
            self._commit()
        except Exception:
            self.leave()
            raise
        if self.error is not None:
            raise self.error
        if self.ended is not None:
            raise Refused(self.ended)

    def leave(self) -> None:
        """Let go without a word, as a lost connection does."""
        self._subscribed = False
        self._perform(self._session.gone())
        self._session = Session(conf.limits())

    def hear(self, number: int, event: Event) -> None:
        """Take an event about the subscription or question `number`."""
        self._perform(self._session.hear(number, event))

    def fail(self) -> None:
        """Nothing to give up: what raises here raises in the test."""

    def settle(self, state: str) -> None:
        """Called when all events of one committed state have been heard."""
        self._perform(self._session.committed(state))

    def _say(self, data: Data) -> None:
        if self._given:
            data["params"] = self._given
        text = json.dumps({"event": self.event, "data": data}, cls=DjangoJSONEncoder)
        self._perform(self._session.receive(text, time.monotonic()))

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            self._do(effect)
        while (frame := self._next_frame()) is not None:
            self._take(json.loads(frame.text))

    def _do(self, effect: Effect) -> None:
        match effect:
            case Close(code=code, reason=reason):
                self.error = Refused(str(int(code)), reason)
                self.leave()
            case Prove():
                pass  # a test says who subscribes
            case _:
                self._ask_cycle(SessionRequest(self, self._caller, effect))

    def _next_frame(self) -> Frame | None:
        for item in self._session.next_frame():
            if isinstance(item, Frame):
                return item
            self._do(item)
        return None

    def _take(self, message: Data) -> None:
        """Take one message as a client would."""
        data: Data = message["data"]
        action = data.get("action")
        if message["event"] == "$subscribed":
            self.key, self.params = data["key"], data["params"]
            self._replica = self._replica or Replica(self.key)
            self._subscribed = True
        elif action == "error":
            self.error = Refused(data["payload"]["code"], data["payload"]["detail"])
        elif action == "disconnect":
            self.ended = data.get("code")
            self._subscribed = False
        elif self._replica is not None:
            self.frames.append(data)
            self._replica.apply(data)
