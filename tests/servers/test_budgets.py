"""What clients may take of a real server's memory."""

from __future__ import annotations

from contextlib import AsyncExitStack, closing
from itertools import combinations
from pathlib import Path
from typing import Any

from tests.conftest import MakeServer, program_on
from tests.support.server import Server
from tests.support.talk import Talk, talking

CONNECTIONS = 12
EACH = 10


def resident(server: Server) -> int:
    """Return how many bytes of memory a server's process has."""
    status = Path(f"/proc/{server.pid}/status").read_text().splitlines()
    (line,) = [line for line in status if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


async def ask_for_many(talk: Talk, words: list[str]) -> list[dict[str, Any]]:
    """Ask for a view for each word; return what is refused."""
    known = len(answers(talk))
    for word in words:
        await talk.say("catalogue", params={"q": word})
    await talk.until(lambda: len(answers(talk)) == known + len(words))
    return [data for data in answers(talk)[known:] if data["action"] == "error"]


def answers(talk: Talk) -> list[dict[str, Any]]:
    told = [message["data"] for message in talk.heard if message["event"] == "catalogue"]
    whole = [data for data in told if data.get("page", 1) == data.get("pages", 1)]
    return [data for data in whole if data["action"] in ("sync", "error")]


async def test_many_anonymous_connections_leave_a_user_her_own_views(
    make_server: MakeServer,
) -> None:
    with make_server(MAX_VIEWS=100) as server, closing(program_on(server)) as program:
        ann, refused = program.log_in("ann"), []
        async with AsyncExitStack() as stack:
            for number in range(CONNECTIONS):
                talk = await stack.enter_async_context(talking(server.ws))
                refused += await ask_for_many(talk, [f"{number} {n}" for n in range(EACH)])
            assert len(refused) == CONNECTIONS * EACH - 10
            assert {data["payload"]["code"] for data in refused} == {"unavailable"}
            assert all("OWNER_VIEWS_SHARE" in data["payload"]["detail"] for data in refused)
            async with talking(server.ws, ann) as talk:
                following = await talk.follow("catalogue", params={"q": "hers"})
                assert following.actions == ["sync"]
        assert server.log.read_text().count("refuses a view to address") == 1


async def test_one_connection_that_asks_for_far_more_than_its_share_is_held_to_it(
    make_server: MakeServer,
) -> None:
    megabyte = 1024 * 1024
    settings = {"MAX_VIEWS_BYTES": 40 * megabyte}
    with make_server(**settings) as server, closing(program_on(server)) as program:
        program.add_products(5_000)
        async with talking(server.ws) as talk:
            await ask_for_many(talk, ["p"])
            before = resident(server)
            words = ["product"[first:stop] for first, stop in combinations(range(8), 2)]
            words.remove("p")
            refused = await ask_for_many(talk, words)
            assert refused
            assert all("OWNER_BYTES_SHARE" in data["payload"]["detail"] for data in refused)
            # Without a share: 27 views of 5,000 rows, of 600 bytes and more each.
            assert resident(server) - before < 40 * megabyte
