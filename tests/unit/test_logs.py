"""Lines of the log: as JSON, unforged, and never the same over and over."""

from __future__ import annotations

import asyncio
import json
import logging
import sys

import pytest

from bindserver import logs
from bindserver.logs import JsonFormatter, Repeats, Sparse, address, key_of, one_line, quoted

logger = logging.getLogger("bindserver.tests")


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    return logger.makeRecord(
        "bindserver.tests", logging.INFO, "", 0, message, args, None, None, extra
    )


def test_a_record_is_one_line_of_json_with_all_that_was_said() -> None:
    line = JsonFormatter().format(record("%s\nsaid", "two", user="7", code=4408))
    assert "\n" not in line
    told = json.loads(line)
    assert told.pop("time").endswith("Z")
    assert told == {
        "level": "INFO",
        "logger": "bindserver.tests",
        "message": "two\nsaid",
        "user": "7",
        "code": 4408,
    }


def test_a_failure_brings_its_traceback() -> None:
    try:
        raise ValueError("so it goes")
    except ValueError:
        failed = record("failed")
        failed.exc_info = sys.exc_info()
    told = json.loads(JsonFormatter().format(failed))
    assert told["traceback"].endswith("ValueError: so it goes")


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\x85b", "a\u2028b", 'a" b', "a\x1b[31mb"])
def test_what_a_client_has_sent_cannot_end_a_line(text: str) -> None:
    safe = quoted(text)
    assert len(safe.splitlines()) == 1
    assert safe.isascii()
    assert safe.isprintable()
    assert json.loads(safe) == text


def test_what_a_client_has_sent_is_cut() -> None:
    assert len(quoted("x" * 10_000)) < 300


@pytest.mark.parametrize("text", ["a\nb", "a\r\n b", "a\x85b", "a\u2028b", "a\x1b \x00b"])
def test_an_error_s_text_is_one_line(text: str) -> None:
    assert one_line(text) == "a b"


def test_a_user_s_key_is_a_plain_word_or_quoted() -> None:
    assert key_of("42") == "42"
    assert key_of("0b8f9c1e-7f0e-4a52-9d8a-3d1f6f1d2c3b") == "0b8f9c1e-7f0e-4a52-9d8a-3d1f6f1d2c3b"
    assert key_of('ann"\nERROR') == '"ann\\"\\nERROR"'


def test_an_address_is_one_or_quoted() -> None:
    assert address("2001:db8::1") == "2001:db8::1"
    assert address("10.0.0.7\nERROR") == '"10.0.0.7\\nERROR"'
    assert address(None) == "unknown"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class TestSparse:
    def test_some_lines_are_told_and_the_others_counted(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        clock = Clock()
        sparse = Sparse(logger, clock)
        for number in range(25):
            sparse.warn("refused pages", "refused: %d", number)
        assert [r.getMessage() for r in caplog.records] == [f"refused: {n}" for n in range(10)]
        clock.now = 61.0
        sparse.warn("refused pages", "refused: %d", 25)
        told = [r.getMessage() for r in caplog.records][10:]
        said = "bindserver: 15 more lines about refused pages were left out"
        assert told == [said, "refused: 25"]

    def test_one_kind_does_not_use_up_another_s(self, caplog: pytest.LogCaptureFixture) -> None:
        sparse = Sparse(logger, Clock())
        for _ in range(25):
            sparse.warn("refused pages", "refused")
        sparse.warn("failed proofs", "not proved")
        assert caplog.messages[-1] == "not proved"

    async def test_the_count_is_told_though_nothing_more_comes(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(logs, "SPARSE_SECONDS", 0.01)
        told = asyncio.Event()

        class Hearing(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                if "left out" in record.getMessage():
                    told.set()

        handler = Hearing()
        logger.addHandler(handler)
        try:
            sparse = Sparse(logger, Clock())
            for _ in range(12):
                sparse.warn("refused pages", "refused")
            async with asyncio.timeout(30):
                await told.wait()
        finally:
            logger.removeHandler(handler)
        assert caplog.messages[-1] == "bindserver: 2 more lines about refused pages were left out"


class TestRepeats:
    def test_a_failure_is_told_once_and_then_rarely_with_a_count(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        clock = Clock()
        repeats = Repeats(logger, clock)
        for clock.now in range(0, 1000, 100):
            repeats.note("nobody can tell", ValueError("the database is away"))
        first, again = caplog.records
        assert first.exc_info is not None
        assert again.exc_info is None
        assert again.getMessage() == (
            "bindserver: nobody can tell, 6 times more: ValueError: the database is away"
        )

    def test_another_failure_is_told(self, caplog: pytest.LogCaptureFixture) -> None:
        repeats = Repeats(logger, Clock())
        for text in ("one", "two", "one"):
            repeats.note("nobody can tell", ValueError(text), traceback=False)
        assert caplog.messages == [
            "bindserver: nobody can tell: ValueError: one",
            "bindserver: nobody can tell: ValueError: two",
        ]

    def test_one_that_comes_back_after_a_while_is_told_whole(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        clock = Clock()
        repeats = Repeats(logger, clock)
        repeats.note("nobody can tell", ValueError("away"))
        clock.now = 5000.0
        repeats.note("nobody can tell", ValueError("away"))
        assert [r.exc_info is not None for r in caplog.records] == [True, True]
