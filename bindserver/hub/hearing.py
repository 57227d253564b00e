"""What is made of the hub's events: by a session, for a socket or a test; and by `message()`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from bindserver.cycle.inbox import (
    Accepted,
    Answered,
    Arrived,
    Ended,
    Event,
    Published,
    Refused,
    Staled,
    Unsubscribed,
)
from bindserver.engine.effects import Effect
from bindserver.engine.frames import Frame
from bindserver.engine.session import Session


def tell(session: Session, number: int, event: Event) -> Iterator[Effect]:
    """Tell a session an event about the subscription or question `number`.

    Args:
        session: the client's conversation.
        number: which of its subscriptions or questions.
        event: what the hub says.

    Returns:
        What the session wants done; nothing has happened until it is iterated.
    """
    match event:
        case Published(frames=frames, version=version):
            session.publish(number, frames, version)
        case Answered(frames=frames, version=version):
            session.answered(number, frames, version)
        case Accepted():
            yield from session.accepted(
                number,
                params=event.params,
                takes_params=event.takes_params,
                key=event.key,
                ordered=event.ordered,
            )
        case Unsubscribed():
            yield from session.unsubscribed(
                number, params=event.params, takes_params=event.takes_params
            )
        case Refused(code=code, detail=detail):
            yield from session.refused(number, code, detail)
        case Arrived():
            pass  # it counts where the turn settles, and says nothing itself
        case Staled(frame=frame):
            yield from session.stale(number, frame)
        case Ended(code=code):
            yield from session.ended(number, code)


def changes(frame: Frame, pages: list[Any]) -> Iterator[tuple[str, Any]]:
    """Yield what a shared frame says, change by change; the pages of a sync as one.

    Args:
        frame: the frame.
        pages: keeps the rows of a sync until its last page; one list for each subscription.
    """
    data = json.loads(frame.text)["data"]
    action: str = data["action"]
    payload: Any = data.get("payload")
    if action == "batch":
        for change in payload:
            yield change["action"], change["payload"]
    elif action == "sync":
        if data.get("page", 1) == 1:
            pages.clear()
        pages.extend(payload)
        if data.get("page", 1) == data.get("pages", 1):
            yield action, list(pages)
    elif action in ("create", "update", "delete"):
        yield action, payload
