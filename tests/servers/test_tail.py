"""`manage.py bindings tail`: a binding in the terminal."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from tests.conftest import EVERY_DATABASE, MakeServer
from tests.servers.transports.test_identity import add_token
from tests.support.program import Program
from tests.support.server import ROOT, Server

pytestmark = EVERY_DATABASE

Tail = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def tail(server: Server, program: Program) -> Iterator[Tail]:
    """Start the command; it is ended with the test."""
    with ExitStack() as ends:

        def start(*args: str, **options: Any) -> subprocess.Popen[str]:
            command = [sys.executable, "manage.py", "bindings", "tail", *args]
            made = subprocess.Popen(
                command, cwd=ROOT, env=server.environment, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
            )  # fmt: skip
            ends.enter_context(made)
            ends.callback(made.kill)
            return made

        yield start


@pytest.fixture(params=["here", "url"])
def where(request: pytest.FixtureRequest, server: Server) -> tuple[str, ...]:
    """Where the binding is followed: in the command's own process, or at the server."""
    return ("--url", server.ws) if request.param == "url" else ()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    found = process.stdout.readline()
    assert found, process.stderr and process.stderr.read()
    return found.rstrip("\n")


def test_shows_rows_and_then_changes(tail: Tail, program: Program, where: tuple[str, ...]) -> None:
    program.add_products(1)
    process = tail("products", *where)
    time = r"\d\d:\d\d:\d\d"
    assert re.fullmatch(rf"{time} = 1 row", line(process))
    assert re.match(rf"{time}   1  .*name=", line(process))
    program.run("UPDATE app_product SET name = 'pén'")
    assert re.match(rf'{time} ~ 1  .*name="pén"', line(process))
    program.run("DELETE FROM app_product")
    assert re.fullmatch(rf"{time} - 1", line(process))
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0


def test_writes_json_for_programs(tail: Tail, program: Program, where: tuple[str, ...]) -> None:
    program.add_products(1)
    process = tail("products", "--json", "--changes", "2", *where)
    assert json.loads(line(process))["action"] == "sync"
    program.run("DELETE FROM app_product")
    assert json.loads(line(process)) == {"action": "delete", "payload": {"id": 1}}
    assert process.wait(60) == 0


def test_shows_what_a_user_may_see(tail: Tail, server: Server, program: Program) -> None:
    program.log_in("ann")
    program.add_products(2)
    assert line(tail("members", "--user", "ann")).endswith("= 2 rows")
    url = ("--url", server.ws, "--token", add_token(program, 1))
    assert line(tail("members", *url)).endswith("= 2 rows")


def test_takes_params(tail: Tail, where: tuple[str, ...]) -> None:
    assert line(tail("in_category", "--params", '{"category": 3}', *where)).endswith("= 0 rows")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nothing"], "No binding has the event 'nothing'"),
        (["members"], "members is not served: unauthenticated"),
        (["in_category"], "in_category is not served: invalid_params"),
        (["products", "--params", "[]"], "--params is a JSON object"),
        (["products", "--user", "nobody"], "There is no user with the name or the key 'nobody'"),
        (["products", "--token", "x"], "--user says who asks"),
        (["products", "--url", "http://x/"], "no address such as ws://"),
        (["products", "--url", "ws://x/", "--user", "ann"], "is shown a --token"),
    ],
)
def test_says_why_it_shows_nothing(tail: Tail, args: list[str], said: str) -> None:
    process = tail(*args)
    assert process.stderr is not None
    assert said in process.stderr.read()
    assert process.wait(60) == 1


def test_says_that_the_server_is_out_of_reach_and_when_it_is_back(
    tail: Tail, server: Server, program: Program, make_server: MakeServer
) -> None:
    other = make_server(on=server)
    program.add_products(1)
    process = tail("products", "--url", other.ws)
    assert process.stderr is not None
    assert f"cannot connect to {other.ws}" in process.stderr.readline()
    other.start()
    assert line(process).endswith("= 1 row")


def test_ends_in_silence_where_nobody_reads_on(tail: Tail, program: Program) -> None:
    program.add_products(3)
    process = tail("products")
    line(process)
    assert process.stdout is not None
    process.stdout.close()
    for number in range(500):  # the first may still be written: nobody has looked yet
        program.run(f"UPDATE app_product SET stock = {number}")
        with suppress(subprocess.TimeoutExpired):
            assert process.wait(0.2) == 0
            break
    assert process.stderr is not None
    assert process.stderr.read() == ""
