"""Cursors: what is not exactly ours is none."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import replace

import pytest

from bindserver.engine import cursor as cursors
from bindserver.engine.changes import Position
from bindserver.engine.cursor import MAX_LENGTH, Cursor, dump, load, name_of

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


class TestSealed:
    """What is in a cursor is for whoever has the secret."""

    def test_nothing_of_it_can_be_read(self) -> None:
        raw = base64.urlsafe_b64decode(TEXT)
        for said in ("f1", "\u00e9", "\\u00e9", "10:20:12,15", "i1", "\0\0"):
            assert said.encode() not in raw

    def test_equal_states_have_equal_cursors(self) -> None:
        assert dump(replace(CURSOR), SECRET) == TEXT

    def test_two_states_that_are_nearly_equal_have_nothing_in_common(self) -> None:
        later = base64.urlsafe_b64decode(dump(replace(CURSOR, version=8), SECRET))
        raw = base64.urlsafe_b64decode(TEXT)
        assert len(raw) == len(later) == 96
        assert sum(one == other for one, other in zip(raw, later, strict=True)) < 10

    def test_of_states_of_every_kind_cursors_have_one_of_three_lengths(self) -> None:
        lengths = set()
        for mark in ("", "1", "9" * 12, "1:2~" + "3," * 40, "x" * 220):
            for version in (0, 9, 123_456_789):
                position = Position(epoch="0123456789abcdef", mark=mark)
                text = dump(replace(CURSOR, position=position, version=version), SECRET)
                lengths.add(len(text))
        assert lengths == {128, 256, 512}

    def test_how_much_was_written_is_not_told_by_its_length(self) -> None:
        epoch = "0123456789abcdef"
        texts = [
            dump(
                Cursor(
                    fingerprint=epoch,
                    position=Position(epoch=epoch, mark=mark),
                    incarnation=f"{epoch[:12]}{number:x}",
                    version=number,
                ),
                SECRET,
            )
            for mark, number in (("0", 0), ("123456789012", 999_999))
        ]
        assert [len(text) for text in texts] == [128, 128]

    def test_what_is_hidden_depends_on_every_bit_of_the_secret(self) -> None:
        texts = {dump(CURSOR, secret) for secret in (SECRET, b"secreu", b"secret ", b"")}
        assert len(texts) == 4


class TestANewSecret:
    def test_cursors_of_an_older_secret_can_be_read_while_it_is_named(self) -> None:
        assert load(TEXT, b"new", [b"other", SECRET]) == CURSOR
        assert load(TEXT, b"new", [b"other"]) is None

    def test_new_ones_are_of_the_new_secret(self) -> None:
        assert load(dump(CURSOR, b"new"), b"new", [SECRET]) == CURSOR
        assert load(dump(CURSOR, b"new"), SECRET) is None

    @pytest.mark.parametrize("cut", [0, 1, 15, 16, 17, 95])
    def test_what_is_cut_is_none_to_any(self, cut: int) -> None:
        raw = base64.urlsafe_b64decode(TEXT)[:cut]
        assert load(base64.urlsafe_b64encode(raw).rstrip(b"=").decode(), b"new", [SECRET]) is None


def test_a_cursor_that_was_signed_and_not_sealed_is_none() -> None:
    body = b'["f1","e","5","i1",7]'
    mac = hmac.new(SECRET, b"bindserver.cursor.1" + body, hashlib.sha256).digest()[:16]
    old = base64.urlsafe_b64encode(mac + body).rstrip(b"=").decode()
    assert load(old, SECRET) is None


def test_a_cursor_whose_seal_is_an_hmac_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def hmac_of(body: bytes, secret: bytes) -> bytes:
        return hmac.digest(cursors._key(secret, "mac"), body, "sha256")[: cursors.MAC_BYTES]

    with monkeypatch.context() as patched:
        patched.setattr(cursors, "_mac", hmac_of)
        old = dump(CURSOR, SECRET)
        assert load(old, SECRET) == CURSOR
    assert load(old, SECRET) is None
    assert load(old, b"new", [SECRET]) is None


def test_a_state_s_name_tells_nobody_what_it_is_the_name_of() -> None:
    position = Position(epoch="e", mark="5")
    assert name_of(position, SECRET) == name_of(Position(epoch="e", mark="5"), SECRET)
    plain = hashlib.sha256(b"e.5").hexdigest()[:24]
    names = {plain, *(name_of(position, secret) for secret in (SECRET, b"other"))}
    assert len(names) == 3


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
