"""Whole conversations by chance: a view, a hub, a session, a slow reader and a client's copy.

In half of them deltas take the straight way to the client wherever the session lets them.

After each frame the client holds some committed state, and never an earlier one than before; when
all is read, it holds the present.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from bindserver.client.replica import Replica
from bindserver.engine.effects import Ask, CatchUp, Effect
from bindserver.engine.events import Accepted, Answered, Event, Published, Unsubscribed
from bindserver.engine.frames import Frame
from bindserver.engine.limits import Limits
from bindserver.engine.session import Session
from tests.unit.engine.tools import ENCODER, advance, rows_of, view_of

Table = dict[int, tuple[int, str]]


class World:
    """A hub with one view, one session, and its client."""

    def __init__(self, seed: int, straight: bool) -> None:
        self.straight = straight
        self.passed = 0
        self.chance = Random(seed)
        self.table: Table = {key: (self.chance.randrange(5), "x") for key in range(30)}
        self.view = view_of(self.table, sortable=bool(seed % 2), ring_bytes=4000)
        self.states = {self.view.version: rows_of(self.table)}
        self.session = Session(Limits(outbox_bytes=900))
        self.requests: list[Ask | CatchUp] = []
        self.audience: set[int] = set()
        self.replica: Replica | None = None
        self.seen = 0

    def perform(self, effect: Effect) -> None:
        assert isinstance(effect, (Ask, CatchUp)) or type(effect).__name__ == "Release", effect
        if isinstance(effect, (Ask, CatchUp)):
            self.requests.append(effect)

    def hear(self, number: int, event: Event) -> None:
        for effect in self.session.hear(number, event):
            self.perform(effect)

    def say(self, **data: Any) -> None:
        for effect in self.session.receive(json.dumps({"event": "products", "data": data}), 0):
            self.perform(effect)

    # What may happen.

    def write(self) -> None:
        before = dict(self.table)
        for key in self.chance.sample(range(40), self.chance.randrange(1, 6)):
            if self.chance.random() < 0.3:
                self.table.pop(key, None)
            else:
                self.table[key] = (self.chance.randrange(5), self.chance.choice("xyz"))
        delta = advance(self.view, before, self.table)
        if delta is not None:
            version = self.view.version
            self.states[version] = rows_of(self.table)
            for number in self.audience:
                frames = ENCODER.delta(delta, str(version))
                if self.straight and len(frames) == 1 and self.passes(number, version):
                    self.passed += 1
                    self.take(json.loads(frames[0].text))
                else:
                    self.hear(number, Published(frames=frames, version=version))

    def passes(self, number: int, version: int) -> bool:
        """Return whether a delta is written at once."""
        line = self.session.line
        if line.carries == number:
            line.version = version
            return True
        return self.session.pass_by(number, version)

    def serve(self) -> None:
        """Let the hub serve what it was asked."""
        while self.requests:
            request = self.requests.pop(0)
            if isinstance(request, CatchUp):
                self.answer(request.number, self.view.since(request.version))
            elif type(request.message).__name__ == "Unsubscribe":
                self.hear(request.number, Unsubscribed(params="{}", takes_params=False))
            else:
                event = Accepted(params="{}", takes_params=False, key="id", ordered=True)
                self.hear(request.number, event)
                self.audience.add(request.number)
                self.answer(request.number, None)

    def answer(self, number: int, delta: Any) -> None:
        version = self.view.version
        if delta is None:
            frames = ENCODER.sync(self.view.texts(), str(version), 7)
        else:
            frames = ENCODER.delta(delta, str(version)) if delta else ()
        self.hear(number, Answered(frames=frames, version=version))

    def read(self) -> bool:
        for item in self.session.next_frame():
            if isinstance(item, Frame):
                self.take(json.loads(item.text))
                return True
            self.perform(item)
        if self.straight:
            self.session.open_line()
        return False

    def subscribe(self) -> None:
        self.say()

    def unsubscribe(self) -> None:
        self.say(disconnect=True)

    # The client.

    def take(self, message: dict[str, Any]) -> None:
        data = message["data"]
        if message["event"] == "$subscribed":
            self.replica = self.replica or Replica("id")
        elif data["action"] == "disconnect":
            self.replica = None
        else:
            assert self.replica is not None, "a frame came before $subscribed or after the end"
            self.replica.apply(data)
            if self.replica.cursor is not None:
                assert int(self.replica.cursor) >= self.seen, "the cursor went back"
                self.seen = int(self.replica.cursor)
                assert self.replica.rows == self.states[self.seen], "no committed state"


@pytest.mark.parametrize("straight", [False, True], ids=["outbox", "straight"])
@pytest.mark.parametrize("seed", range(24))
def test_a_client_moves_from_one_committed_state_to_the_next(seed: int, straight: bool) -> None:
    world = World(seed, straight)
    world.subscribe()
    for _ in range(60):
        deed = world.chance.choices(
            [world.write, world.read, world.serve, world.subscribe, world.unsubscribe],
            [8, 6, 4, 1, 1],
        )[0]
        deed()
    world.subscribe()
    while world.requests or world.read():
        world.serve()
    assert world.replica is not None
    assert world.replica.rows == rows_of(world.table)
    assert straight or not world.passed
