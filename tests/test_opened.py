"""A test that fails leaves nothing open that would fail another."""

from __future__ import annotations

import pytest

from tests.conftest import EVERY_DATABASE, MakeServer, program_at
from tests.support import opened

pytestmark = EVERY_DATABASE


def fail_with_a_lock(url: str) -> None:
    """Do what a test does that fails while a program of its own has a transaction open."""
    with opened.closing():
        program_at(url).close()
        locker = program_at(url)
        locker.run("BEGIN")
        locker.run("UPDATE app_tag SET name = 'lost'")
        raise AssertionError("as planned")


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
