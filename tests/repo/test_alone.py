"""Tests do not get into each other's way."""

from __future__ import annotations

import ast
import re
import socket

import pytest

from tests.conftest import EVERY_DATABASE, MakeServer, program_at
from tests.support import opened
from tests.support.server import ROOT


def fail_with_a_lock(url: str) -> None:
    """Do what a test does that fails while a program of its own has a transaction open."""
    with opened.closing():
        program_at(url).close()
        locker = program_at(url)
        locker.run("BEGIN")
        locker.run("UPDATE app_tag SET name = 'lost'")
        raise AssertionError("as planned")


@EVERY_DATABASE
def test_what_is_open_when_a_test_fails_is_closed_and_keeps_nobody_waiting(
    make_server: MakeServer,
) -> None:
    url = make_server().url
    program = program_at(url)
    program.run("INSERT INTO app_tag VALUES (1, 'old')")
    with pytest.raises(AssertionError, match="as planned") as failure:
        fail_with_a_lock(url)
    assert program.run("SELECT name FROM app_tag") == [("old",)]
    program.run("UPDATE app_tag SET name = 'new'")
    assert program.run("SELECT name FROM app_tag") == [("new",)]
    assert failure.tb is not None  # which keeps the locker, as pytest's report of it does


def test_a_server_is_not_taken_for_another_on_its_port(make_server: MakeServer) -> None:
    server = make_server()
    with (
        socket.create_server(("127.0.0.1", server.port)),
        pytest.raises(RuntimeError, match="in use"),
    ):
        server.start()


def test_a_module_has_asynchronous_tests_or_a_browser() -> None:
    """Playwright's loop runs in their thread, from the first test of a module to its last."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text()
        if re.search(r"\bplaywright\b", text) and path.name != "test_alone.py":
            kinds = [type(node) for node in ast.walk(ast.parse(text))]
            assert ast.AsyncFunctionDef not in kinds, f"{path.name} has both"
