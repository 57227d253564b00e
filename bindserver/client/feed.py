"""What a client has of one subscription, whoever of it holds that: what was asked for and answered,
and the rows that came. Pure: messages in, messages out."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from bindserver.client.replica import Changes, Replica
from bindserver.client.subscription import Problem, Status, Subscription
from bindserver.engine.protocol import canonical, dump

RESERVED = "$"
"""An event that begins so is the protocol's own."""


class Stage(Enum):
    """Where a feed stands on the present connection."""

    DUE = "due"
    """It is to be asked for."""
    ASKED = "asked"
    """The ask has no answer yet."""
    ACCEPTED = "accepted"
    """Shared frames are its own to apply."""
    ENDED = "ended"
    """It has ended for good."""


class Feed:
    """One subscription as the server knows it.

    Args:
        event: the binding's event.
        params: its params.
        page_size: about how many rows a page of a large answer should have.

    Attributes:
        stage: where it stands.
        ref: the mark of its newest ask; 0 where there was none on this connection.
        holders: who shows it.
        problem: why there is nothing, or nothing new.
        failures: how many asks in a row the server could not serve.
        settled: the canonical params' text, once the server has told.
    """

    def __init__(self, event: str, params: Mapping[str, Any], page_size: int | None) -> None:
        self.event = event
        self.stage = Stage.DUE
        self.ref = 0
        self.holders: list[Subscription] = []
        self.problem: Problem | None = None
        self.failures = 0
        self.settled: str | None = None
        self._params = params
        self._texts = {canonical(params)}
        self._page_size = page_size
        self._replica: Replica | None = None
        self._fresh = False
        self._resumed = False

    def matches(self, event: str, text: str) -> bool:
        """Return whether it is for an event and params, as canonical text."""
        return self.event == event and text in self._texts

    @property
    def replica(self) -> Replica | None:
        """The rows; None before the first answer."""
        return self._replica

    @property
    def has_rows(self) -> bool:
        """Whether there has been an answer, though it may have been that there are no rows."""
        return self._replica is not None and self._replica.cursor is not None

    @property
    def status(self) -> Status:
        """Whether its rows are what the server says that they are now."""
        if self.stage is Stage.ENDED:
            return Status.CLOSED
        if self._replica is None or not self.has_rows:
            return Status.CONNECTING
        is_live = self.stage is Stage.ACCEPTED and not self._replica.stale
        return Status.LIVE if is_live else Status.STALE

    # What is said.

    def ask(self, ref: int) -> str:
        """Return the message that asks for it.

        Args:
            ref: the mark by which its answer is known.
        """
        self.ref, self.stage = ref, Stage.ASKED
        data: dict[str, Any] = {"ref": ref}
        if self._params:
            data["params"] = self._params
        if self._page_size is not None:
            data["page_size"] = self._page_size
        replica = self._replica
        self._resumed = self.has_rows and not self._fresh
        if replica is not None and self._resumed:
            data |= {"cursor": replica.cursor, "held": replica.held}
        return dump(self.event, data)

    def leave(self, ref: int) -> str:
        """Return the message that ends it.

        Args:
            ref: the mark by which its answer is known.
        """
        params = {"params": self._params} if self._params else {}
        return dump(self.event, {"disconnect": True, "ref": ref, **params})

    # What is heard.

    def accept(self, key: str, text: str) -> None:
        """Called when the server has accepted the newest ask.

        Args:
            key: the name of the row field that holds the key.
            text: the canonical params' text.
        """
        self.stage, self.settled, self.problem, self.failures = Stage.ACCEPTED, text, None, 0
        self._texts.add(text)
        if self._replica is None or self._replica.key != key:
            # Where a state was named of rows with another key, the server knows no such rows, and
            # answers with all of them.
            self._replica = Replica(key)

    def join(self, other: Feed) -> None:
        """Take over from another one that has turned out to be the same."""
        self._texts |= other._texts
        for holder in other.holders:
            holder.join(self)

    def take(self, data: Mapping[str, Any]) -> Changes:
        """Apply a frame; return what it has changed.

        Raises:
            Exception: it is not what the contract says.
        """
        assert self._replica is not None
        changes = self._replica.apply(data)
        if data.get("action") == "sync":
            self._fresh = False
        for holder in self.holders:
            holder.take(changes)
        return changes

    def start_over(self) -> None:
        """Want the whole binding, as if nothing were held."""
        self.stage, self._fresh = Stage.DUE, True
        self._age()

    def lose(self, *, too_big: bool = False) -> None:
        """Called when the connection is gone.

        Args:
            too_big: whether what we said was, as naming a state may be.
        """
        self._fresh = self._fresh or (too_big and self.stage is Stage.ASKED and self._resumed)
        self.ref, self.settled = 0, None
        if self.stage is not Stage.ENDED:
            self.stage = Stage.DUE
        self._age()

    @property
    def named_a_state(self) -> bool:
        """Whether the newest ask named a state."""
        return self._resumed

    def fail(self, problem: Problem) -> None:
        """Note why it is not served; one that is not tried again has ended."""
        self.problem = problem
        self.stage = Stage.DUE if problem.passing else Stage.ENDED
        self._age()
        for holder in self.holders:
            holder.tell()

    def _age(self) -> None:
        """Have the rows be old until a frame says otherwise, and pages that came be none."""
        if self._replica is not None:
            self._replica.age()
