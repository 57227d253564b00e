"""What a session hears from the hub, about a subscription or a question of its client."""

from __future__ import annotations

from dataclasses import dataclass

from bindserver.engine.frames import BREATH_BYTES, Frame
from bindserver.engine.protocol import Code


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A subscription stands; its answer follows.

    Attributes:
        params: the canonical params as JSON text.
        takes_params: whether the binding takes any.
        key: the name of the row field that holds the key.
        ordered: whether rows have places.
    """

    params: str
    takes_params: bool
    key: str
    ordered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """What was asked cannot be served; a subscription that was accepted meanwhile has ended."""

    code: Code
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsubscribed:
    """The canonical params of a message that ends a subscription.

    Attributes:
        params: as JSON text.
        takes_params: whether the binding takes any.
    """

    params: str
    takes_params: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """An answer to a subscription, which brings the client to a version of the view."""

    frames: tuple[Frame, ...]
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A delta's frames, which bring a client that follows to a version of the view."""

    frames: tuple[Frame, ...]
    version: int

    @property
    def small(self) -> Frame | None:
        """The only frame, if it is one after which a client can be written to at once; None for
        what holds others up, or cannot be written at all."""
        if len(self.frames) != 1:
            return None
        (frame,) = self.frames
        return frame if frame.size <= BREATH_BYTES and frame.is_text else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A view that was being loaded is at the present position, and nothing of it differs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All that a client follows is at a state with the write that it waits for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Staled:
    """The rows may be old until the next frame."""

    frame: Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The server has ended a subscription."""

    code: Code


Event = Accepted | Rejected | Unsubscribed | Answered | Published | Arrived | Seen | Staled | Ended
