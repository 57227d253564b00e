"""A part of the matrix on every kind of database: each proof over each transport once with each
right, and once with each user."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import EVERY_DATABASE, MakeServer
from tests.servers.transports.test_matrix import (
    CELLS,
    CHANGES,
    PROOFS,
    TRUTHS,
    Change,
    Proof,
    User,
    World,
    introduced,
    judged_answer,
    look,
    named,
    served,
    take,
)
from tests.servers.transports.test_rest import ask
from tests.support.talk import talking

pytestmark = EVERY_DATABASE

EVENTS = list(TRUTHS)
PART = [
    pytest.param(*cell.values, EVENTS[number % len(EVENTS)], id=f"{cell.id}")
    for number, cell in enumerate(CELLS)
]
"""As many users as rights stand beside each other in a row of cells: a Latin square."""


@pytest.fixture(scope="module")
def world(make_server: MakeServer) -> Iterator[World]:
    with served(make_server) as world:
        yield world


@pytest.mark.parametrize(("transport", "proof", "user", "event"), PART)
async def test_nobody_is_sent_more_than_the_database_says_that_they_may_have(
    world: World, transport: str, proof: Proof, user: User, event: str
) -> None:
    await look(world, transport, proof, user, event)


@pytest.fixture(params=CHANGES)
def change(request: pytest.FixtureRequest, world: World) -> Iterator[Change]:
    change = CHANGES[request.param]
    yield change
    for statement in change.back:
        world.program.run(statement)


async def test_what_is_taken_is_neither_sent_nor_served_any_more(
    world: World, change: Change
) -> None:
    proof, path = PROOFS["session"], f"/bindings/{change.event}/"
    headers = proof.headers(change.user)
    before = ask(world.server, path, **named(headers))
    assert before.data
    async with talking(world.server.ws, headers) as talk:
        await introduced(talk, proof, change.user)
        following = await talk.follow(change.event)
        take(change, world)
        told = await talk.hear_data(change.event)
        if told["action"] == "disconnect":
            assert told["code"] == "revoked"
        else:
            await talk.until(lambda: not following.replica.rows)
    tag = before.headers["ETag"]
    after = ask(world.server, path, **named(headers), If_None_Match=tag)
    assert after.status in (401, 403) or (after.status, after.data) == (200, [])
    judged_answer(world, after, None)
