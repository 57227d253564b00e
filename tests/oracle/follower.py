"""A client of the oracle: a replica for each subscription, checked at every frame."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

from websockets import ConnectionClosed

from bindserver.client.replica import Replica
from tests.oracle.moving import MARGIN_SECONDS
from tests.oracle.service import Node
from tests.oracle.shapes import Rows
from tests.oracle.subscription import Phase, Subscription, short
from tests.oracle.tally import Tally
from tests.oracle.truth import KINDS, History, Name, canonical, comparable
from tests.support.client import Client

OPEN_SECONDS = 20
AGAIN_SECONDS = 0.1


class Follower:
    """One client with many subscriptions.

    Args:
        label: its name in the report.
        cookie: the session cookie of its user, if it has one.
        history: the truth.
        tally: takes what was found.
    """

    def __init__(self, label: str, cookie: str | None, history: History, tally: Tally) -> None:
        self.label = label
        self.subscriptions: dict[Name, Subscription] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.may_close = False
        self.may_close_with: frozenset[int] = frozenset()
        self.node: Node | None = None
        self._cookie = cookie
        self._compresses = True
        self._history = history
        self._tally = tally
        self._client: Client | None = None
        self._reader: asyncio.Task[None] | None = None
        self._refs = 0
        self._again: list[asyncio.Task[None]] = []

    @property
    def connected(self) -> bool:
        """Whether the connection stands."""
        return self._reader is not None and not self._reader.done()

    # What the machine has it do.

    async def connect(self, url: str) -> None:
        """Open a connection, and ask for commit marks."""
        async with asyncio.timeout(OPEN_SECONDS):
            self._client = await Client.open(
                url, cookie=self._cookie, compression="deflate" if self._compresses else None
            )
        self._compresses = not self._compresses
        self.may_close = False
        await self._client.send("$hello", {"want": ["commit", "begin"]})
        self._reader = asyncio.create_task(self._read(self._client))

    async def subscribe(
        self,
        name: Name,
        *,
        resume: bool = True,
        held: bool = True,
        allowed: Iterable[str] | None = None,
    ) -> None:
        """Subscribe to a view, from what is held of it if `resume`."""
        subscription = self.subscriptions.setdefault(name, Subscription(name))
        self._refs += 1
        data: dict[str, Any] = {"ref": self._refs, "page_size": 100}
        if params := name.parsed():
            data["params"] = params
        replica = subscription.replica
        if resume and replica is not None and replica.cursor is not None:
            data["cursor"] = replica.cursor
            if held:
                data["held"] = replica.held
        else:
            subscription.replica = None
        subscription.ref = self._refs
        subscription.phase = Phase.ASKED
        subscription.floor = self._history.state
        subscription.asked_at = time.time()
        subscription.allowed = None if allowed is None else frozenset(allowed)
        self._tally.note(f"{self.label} asks for {name}: {sorted(data)} since {subscription.since}")
        await self._send(name.event, data)

    async def unsubscribe(self, name: Name) -> None:
        """End a subscription."""
        subscription = self.subscriptions[name]
        data: dict[str, Any] = {"disconnect": True}
        if params := name.parsed():
            data["params"] = params
        subscription.phase = Phase.OVER
        await self._send(name.event, data)

    async def _send(self, event: str, data: dict[str, Any]) -> None:
        assert self._client is not None
        try:
            await self._client.send(event, data)
        except ConnectionClosed:
            self._lost()

    async def drop(self, *, rudely: bool) -> None:
        """Be gone; what was on its way is lost."""
        self.may_close = True
        self.gate.set()
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])
        if self._client is not None and not rudely:
            await self._client.close()
        elif self._client is not None:
            self._client.abort()
        self._lost()

    def _lost(self) -> None:
        for subscription in self.subscriptions.values():
            subscription.phase = Phase.OVER

    # What it hears.

    async def _read(self, client: Client) -> None:
        try:
            while True:
                await self.gate.wait()
                event, data = await client.receive()
                await self.gate.wait()
                self._take(event, data)
        except ConnectionClosed:
            self._tally.note(f"{self.label} is closed with {client.close_code}")
            self._tally.seen[f"closed {client.close_code}"] += 1
            if not self.may_close and client.close_code not in self.may_close_with:
                self._tally.differs(f"{self.label} was closed with {client.close_code}")
        except Exception as problem:
            self._tally.differs(f"{self.label} met {problem!r}")
            raise
        finally:
            self._lost()

    def _take(self, event: str, data: dict[str, Any]) -> None:
        if event == "$subscribed":
            self._accepted(data)
        elif event == "$begin":
            self._tally.seen["begin marks"] += 1
        elif event == "$commit":
            self._check_together()
        elif event.startswith("$"):
            self._tally.differs(f"{self.label} heard {event} {data}")
        else:
            self._frame(event, data)

    def _find(self, event: str, data: dict[str, Any]) -> Subscription | None:
        params = canonical(data.get("params") or {})
        for name, subscription in self.subscriptions.items():
            if name.event == event and name.params == params:
                return subscription
        return None

    def _accepted(self, data: dict[str, Any]) -> None:
        subscription = self._find(data["event"], data)
        if subscription is None or subscription.ref != data["ref"]:
            return  # it has asked again, or taken it back, meanwhile
        if subscription.replica is None:
            subscription.replica = Replica(data["key"])
        if subscription.phase is Phase.ASKED:
            subscription.phase = Phase.ACCEPTED

    def _frame(self, event: str, data: dict[str, Any]) -> None:
        action = data["action"]
        self._tally.actions[action] += 1
        self._tally.note(f"{self.label} hears {event} {data.get('params', '')} {action}")
        subscription = self._find(event, data)
        if self.node is not None and self.node.shaken and _unavailable(data):
            self._tally.seen["asked again"] += 1
            if subscription is not None and subscription.ref == data["ref"]:
                self._again.append(asyncio.create_task(self._ask_again(subscription)))
            return
        if action == "error" or (action == "disconnect" and "code" in data):
            self._tally.differs(f"{self.label} heard {event} {data}")
        if action in ("error", "disconnect") or subscription is None:
            return
        replica = subscription.replica
        if subscription.phase in (Phase.ASKED, Phase.OVER) or replica is None:
            return  # of an older subscription, whose place the answer to come takes
        before = replica.rows
        replica.apply(data)
        if action == "stale" or data.get("page", 1) < data.get("pages", 1):
            if replica.rows != before:
                self._tally.differs(f"{subscription.name} changed before its last page")
            return
        if subscription.phase is Phase.ACCEPTED:
            self._answered(subscription, action)
        self._check(subscription, data)

    async def _ask_again(self, subscription: Subscription) -> None:
        """Ask once more, as a client does that was told to come later."""
        ref = subscription.ref
        await asyncio.sleep(AGAIN_SECONDS)
        if subscription.ref == ref and subscription.phase is Phase.ASKED:
            await self.subscribe(subscription.name)

    def _answered(self, subscription: Subscription, action: str) -> None:
        subscription.phase = Phase.LIVE
        subscription.since = max(subscription.since, subscription.floor)
        # Nobody who asks is given what has expired.
        subscription.moment = max(subscription.moment, subscription.asked_at - MARGIN_SECONDS)
        self._tally.seen[f"answer {action}"] += 1
        if subscription.allowed is not None and action not in subscription.allowed:
            self._tally.differs(
                f"{self.label} was answered {action} for {subscription.name}, "
                f"where only {sorted(subscription.allowed)} are right"
            )

    # What it checks.

    def _check(self, subscription: Subscription, data: dict[str, Any]) -> None:
        """Hold the rows against every state that the subscription may be at."""
        assert subscription.replica is not None
        if self._history.blind:
            return
        name, rows = subscription.name, self._rows(subscription)
        self._tally.compared(KINDS[name.event])
        since, moment = subscription.since, subscription.moment
        found = self._history.find(name, rows, since, moment)
        if found is None:
            earlier = self._history.find(name, rows, 0)
            kind = "no committed state" if earlier is None else f"only the older state {earlier}"
            self._tally.differs(
                f"{self.label}: after {short(data)} {name} is {kind}, since {subscription.since} "
                f"of {self._history.state}\nheld   {short(rows)}\n"
                f"newest {short(self._history.newest(name).now())}"
                f"{self._history.told(name, moment)}"
            )
            return
        subscription.moment = self._history.moment(name, rows, since, moment)
        if found > subscription.since and self._history.at(name, found - 1) > subscription.since:
            self._tally.seen["states skipped"] += 1
        subscription.since = max(subscription.since, found)

    def _rows(self, subscription: Subscription) -> Rows:
        assert subscription.replica is not None
        return comparable(subscription.name, subscription.replica.rows)

    def _check_together(self) -> None:
        """After a commit mark all views are of one committed state."""
        if self._history.blind:
            return
        self._tally.compared("commit marks")
        self._tally.seen["commit marks"] += 1
        common: list[tuple[int, int]] = [(0, self._history.state)]
        told = []
        for name, subscription in self.subscriptions.items():
            if subscription.phase is not Phase.LIVE:
                continue
            rows, since = self._rows(subscription), subscription.since
            spans = list(self._history.spans(name, rows, since, subscription.moment))
            told.append((*name, spans))
            common = [
                (max(a, c), min(b, d))
                for a, b in common
                for c, d in spans
                if max(a, c) <= min(b, d)
            ]
        if not common:
            self._tally.differs(f"{self.label} is at no one state at a commit mark: {short(told)}")

    def behind(self) -> list[Subscription]:
        """Return the subscriptions that are not at the newest state yet."""
        return [
            subscription
            for subscription in self.subscriptions.values()
            if subscription.phase in (Phase.ASKED, Phase.ACCEPTED)
            or (
                subscription.phase is Phase.LIVE
                and not self._history.is_newest(subscription.name, self._rows(subscription))
            )
        ]

    def settle(self) -> dict[Name, int]:
        """Count what has been found equal, and return the states that are still needed."""
        live = [s for s in self.subscriptions.values() if s.phase is Phase.LIVE]
        for subscription in live:
            self._tally.compared(KINDS[subscription.name.event])
        return {subscription.name: subscription.since for subscription in live}


def _unavailable(data: dict[str, Any]) -> bool:
    return bool(data["action"] == "error" and data["payload"]["code"] == "unavailable")
