"""Calls that are made many in one go, each as if it were made alone."""

from __future__ import annotations

import asyncio
import sys
import threading
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import SessionBase
from django.test import override_settings

from bindserver.clients import identity as who
from bindserver.clients import together as room
from bindserver.clients.identity import Identity
from bindserver.clients.together import AT_ONCE, Together
from bindserver.exceptions import BindingError

tenant: ContextVar[str] = ContextVar("tenant", default="nobody's")


@pytest.fixture
def goes(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the goes that are begun, one item for each."""
    begun: list[Any] = []
    usual = room._made

    def counted(calls: Any) -> Any:
        begun.append(calls)
        return usual(calls)

    monkeypatch.setattr(room, "_made", counted)
    return begun


async def test_many_are_made_in_one_go_and_each_hears_its_own(goes: list[Any]) -> None:
    call = Together()
    found = await asyncio.gather(*(call(pow, number, 2) for number in range(AT_ONCE)))
    assert found == [number**2 for number in range(AT_ONCE)]
    assert len(goes) == 1
    assert await call(threading.current_thread) is not threading.main_thread()


async def test_no_go_has_more_than_are_bearable(goes: list[Any]) -> None:
    call = Together()
    await asyncio.gather(*(call(abs, number) for number in range(2 * AT_ONCE + 1)))
    assert len(goes) == 3


async def test_one_that_fails_or_wants_to_end_the_thread_harms_no_other() -> None:
    call = Together()
    found = await asyncio.gather(
        call(int, "no number"), call(sys.exit, 1), call(int, "7"), return_exceptions=True
    )
    assert isinstance(found[0], ValueError)
    assert isinstance(found[1], BindingError)
    assert found[2] == 7


async def test_each_is_made_in_the_context_that_asked_for_it() -> None:
    call = Together()

    async def ask(name: str) -> str:
        tenant.set(name)
        return str(await call(tenant.get))

    assert [*await asyncio.gather(ask("ann"), ask("bob"))] == ["ann", "bob"]
    assert tenant.get() == "nobody's"


async def test_who_has_left_is_not_asked_about() -> None:
    call, made = Together(), list[str]()
    leaving = asyncio.ensure_future(call(made.append, "leaving"))
    staying = asyncio.ensure_future(call(made.append, "staying"))
    await asyncio.sleep(0)
    leaving.cancel()
    await staying
    assert made == ["staying"]


async def test_where_no_thread_is_to_be_had_all_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(calls: Any) -> Any:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(room, "_made", refused)
    call = Together()
    found = await asyncio.gather(call(abs, 1), call(abs, 2), return_exceptions=True)
    assert [type(problem) for problem in found] == [RuntimeError, RuntimeError]


async def test_whose_look_has_failed_is_looked_at_alone_until_it_succeeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ways: list[str] = []
    is_broken = True
    enough = asyncio.Event()

    async def look(session: Any, call: Any) -> Any:
        ways.append("together" if call is room.together else "alone")
        if len(ways) == 4:
            enough.set()
        if is_broken:
            raise RuntimeError("the store hangs")
        return User(pk=1)

    monkeypatch.setattr(who, "user_of", look)
    scope = {"user": User(pk=1), "session": SessionBase("a" * 32), "client": ("127.0.0.1", 1)}
    with override_settings(BINDSERVER={"REVALIDATE_SECONDS": 0.01}):
        subject = SimpleNamespace(end_all=lambda code: None, reconsider=lambda: None)
        identity = Identity(scope, subject)
        await identity.greet()
        while len(ways) < 2:
            await asyncio.sleep(0)
        is_broken = False
        await enough.wait()
        identity.leave()
    assert ways[:4] == ["together", "alone", "alone", "together"]
