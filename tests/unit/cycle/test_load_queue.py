"""Which load comes next."""

from __future__ import annotations

import threading

from bindserver.cycle.load_queue import LoadQueue


def queue(*loads: tuple[str, str | None]) -> LoadQueue[str, str]:
    waiting: LoadQueue[str, str] = LoadQueue()
    for load, client in loads:
        waiting.put(load, client)
    return waiting


def drained(waiting: LoadQueue[str, str], loads: int) -> list[str | None]:
    return [waiting.get() for _ in range(loads)]


def test_one_client_s_loads_come_in_the_order_in_which_they_were_asked_for() -> None:
    assert drained(queue(("1", "ann"), ("2", "ann"), ("3", "ann")), 3) == ["1", "2", "3"]


def test_a_client_with_many_loads_holds_up_another_one_by_one_of_them() -> None:
    waiting = queue(("a1", "ann"), ("a2", "ann"), ("a3", "ann"), ("b1", "bob"))
    assert drained(waiting, 4) == ["a1", "b1", "a2", "a3"]


def test_a_client_that_comes_later_has_its_turn_after_the_one_that_is_being_served() -> None:
    waiting = queue(("a1", "ann"), ("a2", "ann"), ("a3", "ann"))
    assert waiting.get() == "a1"
    waiting.put("b1", "bob")
    assert drained(waiting, 3) == ["a2", "b1", "a3"]


def test_living_views_and_first_loads_take_turns_and_living_ones_begin() -> None:
    waiting = queue(("a1", "ann"), ("a2", "ann"), ("x", None), ("y", None), ("z", None))
    assert drained(waiting, 5) == ["x", "a1", "y", "a2", "z"]


def test_a_closed_queue_gives_nothing_and_lets_go_of_who_waits() -> None:
    waiting, got = queue(), []
    thread = threading.Thread(target=lambda: got.append(waiting.get()))
    thread.start()
    waiting.close()
    thread.join()
    waiting.put("late", "ann")
    assert [*got, waiting.get()] == [None, None]


def test_an_audit_comes_when_there_is_no_load() -> None:
    waiting: LoadQueue[str, str] = LoadQueue()
    waiting.put_last("audit")
    waiting.put("first", "ann")
    waiting.put("living", None)
    assert len(waiting) == 2
    assert drained(waiting, 3) == ["living", "first", "audit"]
