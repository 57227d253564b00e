"""A session with everything around it written down, for tests."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from bindserver.engine.effects import (
    Ask,
    AwaitWrite,
    CatchUp,
    Close,
    Effect,
    Prove,
    Reconsider,
    Release,
)
from bindserver.engine.events import Accepted, Answered, Event, Published, Rejected, Unsubscribed
from bindserver.engine.frames import Frame
from bindserver.engine.limits import Limits
from bindserver.engine.protocol import Code
from bindserver.engine.session import Session
from bindserver.engine.subscription import SubscriptionState

ROOM = 1000
"""The outbox's limit in these tests."""


def named(effect: Effect) -> str:
    """Return an effect in a few words."""
    match effect:
        case Ask(number=number):
            return f"ask {number}"
        case Release(number=number):
            return f"release {number}"
        case CatchUp(number=number, version=version):
            return f"catch up {number} from {version}"
        case AwaitWrite(number=number, token=token):
            return f"await {number} {token}"
        case Prove(token=token, ref=ref):
            return f"prove {token} {ref}"
        case Reconsider(number=number, event=event):
            return f"reconsider {number} {event}"
        case Close(code=code):
            return f"close {int(code)}"


def titled(frame: Frame) -> str:
    """Return a frame in a few words; the tests' own frames are no JSON."""
    if not frame.text.startswith("{"):
        return frame.text
    message = json.loads(frame.text)
    data = message["data"] if isinstance(message["data"], dict) else {}
    code = data.get("code") or data.get("payload", {}).get("code")
    return " ".join(filter(None, (message["event"], data.get("action"), code)))


class Talk:
    """One client's conversation.

    Attributes:
        log: what has happened since the last `told()`: effects, and frames as they were written.
        frames: every frame that was written.
        is_behind: whether the client does not get all of what is published.
    """

    is_behind = False

    def __init__(self, **limits: Any) -> None:
        self.session = Session(Limits(**{"outbox_bytes": ROOM} | limits))
        self.log: list[str] = []
        self.frames: list[Frame] = []
        self.now = 0.0
        self._asked = 0

    def told(self) -> str:
        """Return the log, and begin a new one."""
        log, self.log = self.log, []
        return ", ".join(log)

    def state(self, number: int) -> SubscriptionState | None:
        subscription = self.session.subscriptions.get(number)
        return None if subscription is None else subscription.state

    def perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Ask):
                self._asked = effect.number
            self.log.append(named(effect))

    # The client.

    def say(self, event: str, *, after: float = 1.0, **data: Any) -> None:
        self.text(json.dumps({"event": event, "data": data}), after=after)

    def text(self, text: str, *, after: float = 1.0) -> None:
        self.now += after
        self.perform(self.session.receive(text, self.now))

    def read(self, count: int = 1000) -> str:
        """Read so many frames, or all there are, and return the log."""
        for _ in range(count):
            written = False
            for item in self.session.next_frame():
                if isinstance(item, Frame):
                    written = True
                    self.frames.append(item)
                    self.log.append(titled(item))
                else:
                    self.perform([item])
            if not written:
                break
        return self.told()

    def data(self) -> dict[str, Any]:
        """Return the data of the newest frame that was written."""
        data: dict[str, Any] = json.loads(self.frames[-1].text)["data"]
        return data

    # The hub.

    def hear(self, number: int, event: Event) -> None:
        self.perform(self.session.hear(number, event))

    def accept(self, params: dict[str, Any] | None = None) -> int:
        """Accept what was asked last, and return its number."""
        text = json.dumps(params or {})
        self.hear(
            self._asked, Accepted(params=text, takes_params=bool(params), key="id", ordered=True)
        )
        return self._asked

    def end(self, params: dict[str, Any] | None = None) -> None:
        """Tell the params of the unsubscribe message that was asked last."""
        text = json.dumps(params or {})
        self.hear(self._asked, Unsubscribed(params=text, takes_params=bool(params)))

    def refuse(self, code: Code) -> None:
        self.hear(self._asked, Rejected(code=code, detail="no"))

    def open(self, event: str = "products") -> int:
        """Bring a subscription to LIVE at version 5, and return its number."""
        self.say(event)
        number = self.accept()
        self.answer(number, 5)
        self.read()
        return number

    def answer(self, number: int, version: int, pages: int = 1) -> None:
        names = [f"answer {version}"]
        if pages > 1:
            names = [f"page {page} of {version}" for page in range(1, pages + 1)]
        self.hear(
            number, Answered(frames=tuple(Frame(name, 600) for name in names), version=version)
        )

    def publish(self, number: int, version: int, size: int = 10) -> None:
        self.hear(number, Published(frames=(Frame(f"delta {version}", size),), version=version))

    def commit(self, state: str) -> None:
        """Tell that all of a committed state has been given."""
        self.perform(self.session.committed(state))

    def slow_down(self, number: int) -> None:
        """Fill the outbox, so that a LIVE subscription at version 5 turns LAZY behind version 6."""
        self.publish(number, 6, size=900)
        self.publish(number, 7, size=900)
