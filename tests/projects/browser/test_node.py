"""The JavaScript client in Node.js, before a real server."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.servers.transports.test_identity import jwt
from tests.support.program import Program
from tests.support.server import ROOT, Server

pytestmark = pytest.mark.browser

CLIENT = ROOT / "client-js"
PATIENCE_SECONDS = 30

FOLLOWER = """
import { WebSocket } from "ws";
import { connect } from "%(client)s/src/index.js";

const [url, proofs, ...wanted] = process.argv.slice(2);
const tokens = JSON.parse(proofs);
const auth = async () => {
  const token = tokens.length > 1 ? tokens.shift() : tokens[0];
  if (token === null) throw new Error("no token now");
  return token;
};
const io = connect(url, { WebSocket, ...(tokens.length > 0 && { auth }) });
const all = wanted.map((text) => {
  const [event, params] = JSON.parse(text);
  return io.collection(event, params);
});
const seen = ({ rows, status, error }) =>
  ({ rows, status, code: error?.code, detail: error?.detail });
const told = () => all.map(seen);
for (const each of all) each.subscribe(() => console.log(JSON.stringify(told())));
"""

Told = list[dict[str, Any]]


class Follower:
    """A Node.js process with collections, which tells of every step.

    Args:
        tokens: what its `auth` returns, one after the other; None is an error, and the last stays.
    """

    def __init__(
        self, folder: Path, url: str, tokens: list[str | None], *wanted: tuple[str, dict[str, Any]]
    ) -> None:
        program = folder / "follower.mjs"
        program.write_text(FOLLOWER % {"client": CLIENT})
        (folder / "node_modules").symlink_to(CLIENT / "node_modules")
        self._process = subprocess.Popen(
            ["node", str(program), url, json.dumps(tokens), *(json.dumps(each) for each in wanted)],
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self.steps: list[Told] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)

    def until(self, fits: Callable[[Told], bool]) -> Told:
        """Return what is told in the first step that fits."""
        while True:
            self.steps.append(json.loads(self._lines.get(timeout=PATIENCE_SECONDS)))
            if fits(self.steps[-1]):
                return self.steps[-1]

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture
def follow(server: Server, tmp_path: Path) -> Iterator[Callable[..., Follower]]:
    started: list[Follower] = []

    def follow(*wanted: tuple[str, dict[str, Any]], tokens: Sequence[str | None] = ()) -> Follower:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        started.append(Follower(folder, server.ws, list(tokens), *wanted))
        return started[-1]

    yield follow
    for each in started:
        each.stop()


def live(told: Told) -> bool:
    return all(each["status"] == "live" for each in told)


def ids(each: dict[str, Any]) -> list[int]:
    return [row["id"] for row in each["rows"]]


Follow = Callable[..., Follower]


def test_a_window_moves_in_one_step(follow: Follow, program: Program) -> None:
    program.add_products(5)
    program.run("UPDATE app_product SET price = id")
    follower = follow(("cheapest", {}))
    assert ids(follower.until(live)[0]) == [1, 2, 3]
    program.run("UPDATE app_product SET price = 9 - price WHERE id IN (1, 5)")
    follower.until(lambda told: ids(told[0]) == [2, 3, 4])
    assert [ids(each[0]) for each in follower.steps] == [[1, 2, 3], [2, 3, 4]]


def test_a_large_binding_comes_in_pages_and_as_one_step(follow: Follow, program: Program) -> None:
    program.add_products(4000)
    follower = follow(("products", {}))
    assert ids(follower.until(live)[0]) == list(range(1, 4001))
    assert len(follower.steps) == 1


def test_goes_on_after_a_crash_with_what_has_changed(
    follow: Follow, program: Program, server: Server
) -> None:
    program.run("INSERT INTO app_category VALUES (1, 'b'), (2, 'a')")
    program.add_products(3, category_id=1)
    follower = follow(("catalogue", {}), ("catalogue", {"category": 1}), ("categories", {}))
    first = follower.until(live)
    assert ids(first[0]) == ids(first[1]) == [3, 2, 1]
    server.kill()
    follower.until(lambda told: {each["status"] for each in told} == {"stale"})
    program.run("UPDATE app_product SET category_id = 2 WHERE id = 2")
    program.run("UPDATE app_category SET name = 'c' WHERE id = 2")
    server.start()
    last = follower.until(live)
    assert [ids(each) for each in last[:2]] == [[3, 1, 2], [3, 1]]
    assert last[0]["rows"][2]["category_name"] == last[2]["rows"][1]["name"] == "c"


def test_a_transaction_is_one_step_of_all_collections(follow: Follow, program: Program) -> None:
    program.add_products(3)
    follower = follow(("products", {}), ("by_stock", {}), ("cheapest", {}))
    follower.until(live)
    program.run("UPDATE app_product SET stock = 7, price = 0.5 WHERE id = 3")
    follower.until(lambda told: ids(told[1])[0] == 3)
    mixed = [
        (ids(told[1])[0] == 3, ids(told[2])[0] == 3, told[0]["rows"][2]["stock"] == 7)
        for told in follower.steps
        if live(told)
    ]
    assert all(len(set(each)) == 1 for each in mixed)


def test_a_refusal_closes_a_collection_and_no_other(follow: Follow, program: Program) -> None:
    follower = follow(("products", {}), ("in_category", {"category": "x"}), ("nobody", {}))
    told = follower.until(lambda told: [each["status"] for each in told].count("closed") == 2)
    assert [each.get("code") for each in told[1:]] == ["invalid_params", "unknown_event"]
    if told[0]["status"] != "live":
        told = follower.until(lambda told: told[0]["status"] == "live")
    assert told[0]["rows"] == []


def test_params_that_the_server_takes_for_the_same_are_one_for_all(
    follow: Follow, program: Program
) -> None:
    program.run("INSERT INTO app_category VALUES (1, 'b'), (2, 'a')")
    program.add_products(3, category_id=1)
    follower = follow(
        ("catalogue", {"category": 1}), ("catalogue", {"category": "1"}), ("categories", {})
    )
    first = follower.until(live)
    assert ids(first[0]) == ids(first[1]) == [3, 2, 1]
    program.run("UPDATE app_product SET category_id = 2 WHERE id = 2")
    last = follower.until(lambda told: ids(told[1]) == [3, 1])
    assert ids(last[0]) == [3, 1]


def failing(told: Told) -> bool:
    return told[0].get("code") == "internal" and "reference" in told[0]["detail"]


def restarted(server: Server) -> None:
    """Have a server that has no rows in memory: it has to read them again."""
    server.kill()
    server.start()


SMALL, LARGE = 2, 3000  # read at once, and by the loader


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_binding_that_fails_at_first_is_waited_for_until_it_heals(
    follow: Follow, program: Program, server: Server, size: int
) -> None:
    program.add_products(size)
    program.run(f"UPDATE app_product SET name = 'broken' WHERE id = {size}")
    restarted(server)
    follower = follow(("fragile", {}))
    for _ in range(2):
        assert follower.until(failing)[0]["status"] == "connecting"
    program.run(f"UPDATE app_product SET name = 'mended' WHERE id = {size}")
    healed = follower.until(live)[0]
    assert ids(healed) == list(range(1, size + 1))
    assert healed.get("code") is None


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_rows_stay_while_a_server_that_was_started_again_cannot_read_them(
    follow: Follow, program: Program, server: Server, size: int
) -> None:
    program.add_products(size)
    follower = follow(("fragile", {}), ("products", {}))
    rows = follower.until(live)[0]["rows"]
    follower.steps.clear()
    server.kill()
    program.run(f"UPDATE app_product SET name = 'broken' WHERE id = {size}")
    server.start()
    follower.until(lambda told: told[1]["rows"][-1]["name"] == "broken")  # it has come back
    newcomer = follow(("fragile", {}))
    for _ in range(2):
        assert newcomer.until(failing)[0]["rows"] == []
    program.run(f"UPDATE app_product SET name = 'mended' WHERE id = {size}")
    follower.until(lambda told: live(told) and told[0]["rows"][-1]["name"] == "mended")
    kept = [each for each, _ in follower.steps if each["rows"][-1]["name"] != "mended"]
    assert all(each["rows"] == rows for each in kept)
    assert {each.get("code") for each in kept} <= {"unreachable", None}
    assert (kept[-1]["status"], kept[-1].get("code")) == ("stale", None)
    assert ids(newcomer.until(live)[0]) == list(range(1, size + 1))


LEAVER = """
import { WebSocket } from "ws";
import { connect } from "%(client)s/src/index.js";

const held = new Set();
let changed = () => {};
class Ear extends WebSocket {
  constructor(...args) {
    super(...args);
    this.addEventListener("message", ({ data: text }) => {
      const { event, data } = JSON.parse(text);
      const name = JSON.stringify(data?.params ?? {});
      if (event === "$subscribed") held.add(name);
      if (data?.action === "disconnect") held.delete(name);
      changed();
    });
  }
}
const until = (fits) => new Promise((done) => {
  changed = () => fits() && done();
  changed();
});
const io = connect(process.argv[2], { WebSocket: Ear });
for (let turn = 0; turn < 3; turn += 1) {
  const open = (_, category) => io.collection("catalogue", { category });
  const all = Array.from({ length: 90 }, open);
  await Promise.all(all.map((each) => each.ready));
  for (let i = 0; i < 300; i += 1) io.emit("categories");
  for (const each of all) each.close();
  if (turn < 2) await until(() => held.size === 1);
  else io.emit("categories", { disconnect: true });
}
await until(() => held.size === 0);
console.log(JSON.stringify({ status: io.status, error: io.error }));
io.close();
"""


def test_whatever_is_closed_is_left_however_much_is_said_at_once(
    server: Server, tmp_path: Path
) -> None:
    program = tmp_path / "leaver.mjs"
    program.write_text(LEAVER % {"client": CLIENT})
    (tmp_path / "node_modules").symlink_to(CLIENT / "node_modules")
    told = subprocess.run(
        ["node", str(program), server.ws],
        check=True,
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE_SECONDS,
    )
    assert told.stderr == ""
    assert json.loads(told.stdout) == {"status": "live", "error": None}


@pytest.fixture
def ann(program: Program) -> int:
    """A user, and two products for members to see."""
    program.log_in("ann")
    program.add_products(2)
    return 1


def codes(follower: Follower) -> list[str | None]:
    return [told[0].get("code") for told in follower.steps]


def test_a_token_opens_what_is_for_members(follow: Follow, ann: int) -> None:
    follower = follow(("members", {}), tokens=[jwt(ann)])
    assert ids(follower.until(live)[0]) == [1, 2]
    assert codes(follower) == [None]


def test_a_wrong_token_is_reported_and_the_next_one_tried(follow: Follow, ann: int) -> None:
    follower = follow(("members", {}), tokens=["wrong", None, jwt(ann)])
    assert ids(follower.until(live)[0]) == [1, 2]
    assert codes(follower) == ["unauthenticated", "unauthenticated", None]


def test_a_token_is_renewed_before_it_ends(follow: Follow, program: Program, ann: int) -> None:
    follower = follow(("members", {}), tokens=[jwt(ann, 12), jwt(ann)])
    follower.until(live)
    time.sleep(12.5)  # the first one has ended
    program.add_products(1, first=3)
    assert ids(follower.until(lambda told: len(told[0]["rows"]) == 3)[0]) == [1, 2, 3]
    assert {told[0]["status"] for told in follower.steps} == {"live"}


def test_a_token_that_ended_is_followed_by_another_and_the_rows_go_on(
    follow: Follow, program: Program, ann: int
) -> None:
    follower = follow(("members", {}), tokens=[jwt(ann, 6), *[None] * 3, jwt(ann)])
    follower.until(live)
    ended = follower.until(lambda told: told[0]["status"] == "stale")
    assert ended[0]["code"] == "expired"
    assert ids(ended[0]) == [1, 2]
    program.add_products(1, first=3)
    assert ids(follower.until(live)[0]) == [1, 2, 3]
