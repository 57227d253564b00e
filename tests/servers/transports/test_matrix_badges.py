"""The matrix where a function of the project's own says who somebody is, sync or async."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import MakeServer
from tests.servers.transports.test_matrix import TRUTHS, USERS, Proof, User, World, look, served

FUNCTIONS = ("by_badge", "by_badge_async")
BADGES = {
    "header": Proof(lambda user: {"Authorization": f"Badge {badge_of(user)}"}),
    "auth": Proof(said=lambda user: badge_of(user)),
}


def badge_of(user: User) -> str:
    return f"badge-of-{user.name}"


@pytest.fixture(scope="module", params=FUNCTIONS)
def world(request: pytest.FixtureRequest, make_server: MakeServer) -> Iterator[World]:
    function = f"tests.support.matrix_settings.{request.param}"
    with served(make_server, AUTHENTICATE=function) as world:
        yield world


@pytest.mark.parametrize("user", USERS, ids=lambda user: user.name)
@pytest.mark.parametrize("name", BADGES)
async def test_nobody_is_sent_more_than_they_may_have_whom_a_function_knows(
    world: World, name: str, user: User
) -> None:
    for event in TRUTHS:
        await look(world, "websocket", BADGES[name], user, event)
