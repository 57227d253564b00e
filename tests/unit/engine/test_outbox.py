"""What waits for one client: bounded, in order, and neither lane waits for all of the other."""

from __future__ import annotations

from bindserver.engine.frames import Frame
from bindserver.engine.outbox import Outbox


def frame(text: str, size: int = 10) -> Frame:
    return Frame(text, size)


def all_of(outbox: Outbox) -> list[str | int]:
    out: list[str | int] = []
    while (item := outbox.pop()) is not None:
        out.append(item.text if isinstance(item, Frame) else item)
    return out


def pages(name: str, count: int) -> tuple[Frame, ...]:
    return tuple(frame(f"{name}{number}") for number in range(1, count + 1))


def test_an_empty_outbox_has_nothing() -> None:
    outbox = Outbox(100)
    assert not outbox
    assert outbox.pop() is None
    assert outbox.waiting == 0


def test_messages_leave_in_order() -> None:
    outbox = Outbox(100)
    outbox.push(frame("a"), frame("b"))
    outbox.tell(frame("c"))
    outbox.push(frame("d"))
    assert outbox.waiting == 40
    assert all_of(outbox) == ["a", "b", "c", "d"]
    assert outbox.waiting == 0


def test_what_would_pass_the_limit_is_refused_whole() -> None:
    outbox = Outbox(30)
    assert outbox.push(frame("a", 20))
    assert not outbox.push(frame("b", 5), frame("c", 6))
    assert outbox.push(frame("d", 10))
    assert all_of(outbox) == ["a", "d"]


def test_what_waits_alone_always_fits() -> None:
    outbox = Outbox(30)
    assert outbox.push(frame("a", 1000))
    assert not outbox.push(frame("b", 1))
    outbox.pop()
    assert outbox.push(frame("b", 1))


def test_private_messages_have_room_of_their_own() -> None:
    outbox = Outbox(30)
    assert outbox.push(frame("a", 1000))
    assert outbox.tell(frame("b", 20))
    assert not outbox.tell(frame("c", 20))
    assert all_of(outbox) == ["a", "b"]
    assert outbox.push(frame("d", 30))
    assert outbox.tell(frame("e", 1000))


def test_an_answer_is_told_when_it_has_been_written_whole() -> None:
    outbox = Outbox(100)
    outbox.answer(7, pages("p", 2))
    assert outbox
    assert outbox.waiting == 0
    assert all_of(outbox) == ["p1", "p2", 7]
    assert not outbox


def test_an_answer_of_no_frames_is_told_too() -> None:
    outbox = Outbox(100)
    outbox.answer(7, ())
    assert all_of(outbox) == [7]


def test_an_answer_overtakes_nothing_that_was_said_before_it() -> None:
    outbox = Outbox(1000)
    outbox.push(frame("a"), frame("b"), frame("c"))
    outbox.tell(frame("$subscribed"))
    outbox.answer(7, pages("p", 1))
    assert all_of(outbox) == ["a", "b", "c", "$subscribed", "p1", 7]


def test_pages_and_messages_take_turns() -> None:
    outbox = Outbox(1000)
    outbox.answer(7, pages("p", 3))
    outbox.push(frame("a"), frame("b"), frame("c"), frame("d"), frame("e"))
    assert all_of(outbox) == ["p1", "a", "p2", "b", "p3", "c", 7, "d", "e"]


def test_answers_wait_for_each_other() -> None:
    outbox = Outbox(1000)
    outbox.answer(7, pages("p", 2))
    outbox.answer(8, pages("q", 1))
    assert all_of(outbox) == ["p1", "p2", 7, "q1", 8]


def test_a_new_answer_takes_the_place_of_an_older_one() -> None:
    outbox = Outbox(1000)
    outbox.answer(7, pages("old", 3))
    assert outbox.pop() == frame("old1")
    outbox.answer(7, pages("new", 1))
    outbox.answer(7, pages("newest", 1))
    assert all_of(outbox) == ["newest1", 7]


def test_an_answer_that_is_forgotten_is_neither_written_nor_told() -> None:
    outbox = Outbox(1000)
    outbox.answer(7, pages("p", 2))
    outbox.answer(8, pages("q", 1))
    assert outbox.pop() == frame("p1")
    outbox.forget(7)
    outbox.forget(9)
    assert all_of(outbox) == ["q1", 8]


def test_an_outbox_can_be_cleared() -> None:
    outbox = Outbox(1000)
    outbox.answer(7, pages("p", 2))
    outbox.pop()
    outbox.push(frame("a"))
    outbox.tell(frame("b"))
    outbox.answer(8, pages("q", 2))
    outbox.clear()
    assert not outbox
    assert outbox.waiting == 0
    assert outbox.pop() is None
