"""Cursors: what is not exactly ours is none."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from bindserver.engine import cursor as cursors
from bindserver.engine.changes import Position
from bindserver.engine.cursor import MAX_LENGTH, Cursor, dump, load

SECRET = b"secret"
CURSOR = Cursor(
    fingerprint="f1",
    position=Position(epoch="é", mark="10:20:12,15"),
    incarnation="i1",
    version=7,
)
TEXT = dump(CURSOR, SECRET)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def test_a_cursor_survives_the_journey() -> None:
    assert load(TEXT, SECRET) == CURSOR


def test_a_cursor_is_safe_in_urls_and_headers() -> None:
    assert set(TEXT) <= set(ALPHABET)


def test_a_cursor_altered_anywhere_is_none() -> None:
    for index, letter in enumerate(TEXT):
        other = ALPHABET[(ALPHABET.index(letter) + 1) % 64]
        assert load(TEXT[:index] + other + TEXT[index + 1 :], SECRET) is None


@pytest.mark.parametrize("more", ["A", "=", " ", "\n", "!", "."])
def test_a_cursor_with_something_more_in_it_is_none(more: str) -> None:
    for index in range(len(TEXT) + 1):
        assert load(TEXT[:index] + more + TEXT[index:], SECRET) is None


def test_a_part_of_a_cursor_is_none() -> None:
    assert all(load(TEXT[:index], SECRET) is None for index in range(len(TEXT)))


def test_the_bits_that_say_nothing_may_not_be_altered_either() -> None:
    texts = [TEXT[:-1] + letter for letter in ALPHABET]
    assert [text for text in texts if load(text, SECRET) is not None] == [TEXT]


def test_a_cursor_of_another_secret_is_none() -> None:
    assert load(TEXT, b"other") is None


@pytest.mark.parametrize(
    "garbage",
    [None, "", "A", "====", "....", "%%%", "é" * 60, "\ud800", "\x00", "A" * 43, "A" * MAX_LENGTH],
)
def test_garbage_is_none(garbage: str | None) -> None:
    assert load(garbage, SECRET) is None


def test_what_is_too_long_is_none_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cursors, "MAX_LENGTH", len(TEXT) - 1)
    assert load(TEXT, SECRET) is None


def test_a_good_body_behind_a_wrong_mac_is_none() -> None:
    raw = base64.urlsafe_b64decode(TEXT + "=" * (-len(TEXT) % 4))
    forged = base64.urlsafe_b64encode(bytes(16) + raw[16:]).rstrip(b"=").decode()
    assert load(forged, SECRET) is None


def test_a_position_too_long_for_a_cursor_is_told() -> None:
    long = Cursor(
        fingerprint="f", position=Position(epoch="e", mark="1," * 300), incarnation="i", version=1
    )
    with pytest.raises(ValueError, match="longer than 512"):
        dump(long, SECRET)


def test_the_longest_cursor_can_be_read_again() -> None:
    for length in range(300, 400):
        mark = "1" * length
        cursor = Cursor(
            fingerprint="f", position=Position(epoch="e", mark=mark), incarnation="i", version=1
        )
        try:
            text = dump(cursor, SECRET)
        except ValueError:
            break
        assert load(text, SECRET) == cursor
    else:
        pytest.fail("no cursor was too long")


def test_a_cursor_bears_the_brief_mark_where_a_position_has_one() -> None:
    long = Position(epoch="e", mark="x" * MAX_LENGTH, brief="y")
    loaded = load(dump(replace(CURSOR, position=long), SECRET), SECRET)
    assert loaded is not None
    assert loaded.position == Position(epoch="e", mark="y")
    assert long == Position(epoch="e", mark="x" * MAX_LENGTH)
