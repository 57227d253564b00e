"""Woken by writes to SQLite's files: where the system tells of them, does not, or only says so."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from bindserver.capture.sqlite import inotify, watching
from bindserver.capture.sqlite.inotify import FolderWatch, Unwatchable
from bindserver.capture.sqlite.watching import FileNotices, Watcher
from tests.support.default import as_default
from tests.support.follower import Follower
from tests.support.sqlite import SQLiteProgram

NEVER = 3600.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        inotify.file_system(Path("/")) not in inotify.TELLING, reason="nothing is told of here"
    ),
]


@pytest.fixture(autouse=True)
def never_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without being told, a server that trusts in what it is told sees nothing."""
    monkeypatch.setattr("bindserver.capture.log_source.NOTIFIED_SECONDS", NEVER)
    monkeypatch.setattr("bindserver.cycle.turn_taker.CHORES_SECONDS", NEVER)


@pytest.fixture
def program(
    template: dict[bool, Path], tmp_path: Path, django_db_blocker: Any
) -> Iterator[SQLiteProgram]:
    path = tmp_path / "db.sqlite3"
    shutil.copy(template[True], path)
    with as_default(f"sqlite:///{path}", django_db_blocker):
        program = SQLiteProgram(path)
        program.add_products(1)
        yield program
        program.close()


@pytest.fixture
async def follower(program: SQLiteProgram) -> AsyncIterator[Follower]:
    follower = Follower(program)
    yield follower
    await asyncio.to_thread(follower.hub.stop)


async def test_writes_of_another_program_wake(follower: Follower) -> None:
    await follower.subscribe()
    await follower.until_it_rests(NEVER)
    for _ in range(20):
        await follower.sees_writes()


async def test_a_log_that_is_begun_anew_wakes_too(
    follower: Follower, program: SQLiteProgram
) -> None:
    await follower.subscribe()
    await follower.until_it_rests(NEVER)
    program.run("PRAGMA wal_checkpoint(TRUNCATE)")
    await follower.sees_writes()
    program.run("PRAGMA wal_autocheckpoint = 1")
    for _ in range(5):
        await follower.sees_writes()


async def test_a_commit_that_is_told_of_before_it_can_be_seen_is_looked_for_again(
    follower: Follower, program: SQLiteProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    await follower.subscribe()
    await follower.until_it_rests(NEVER)
    source, hidden = follower.source, 5
    moved = source._log.moved

    def late(mark: object) -> bool:
        nonlocal hidden
        hidden -= 1
        return hidden < 0 and moved(mark)

    monkeypatch.setattr(source._log, "moved", late)
    await follower.sees_writes()


async def test_a_file_that_takes_the_place_of_the_database_is_seen(
    follower: Follower, program: SQLiteProgram, tmp_path: Path
) -> None:
    await follower.subscribe()
    await follower.until_it_rests(NEVER)
    program.run("PRAGMA wal_checkpoint(TRUNCATE)")
    other = tmp_path / "other.sqlite3"
    shutil.copy(program.path, other)
    with sqlite3.connect(other) as restored:
        restored.execute("UPDATE app_product SET stock = 77")
        restored.commit()
        restored.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    restored.close()
    for end in ("-wal", "-shm"):
        program.path.with_name(program.path.name + end).unlink(missing_ok=True)
    other.rename(program.path)
    await follower.ear.until(lambda: [row["stock"] for row in follower.rows] == [77])


async def test_a_commit_that_nobody_told_of_has_it_look_as_ever(
    follower: Follower, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(FolderWatch, "waits", lambda self: False)
    monkeypatch.setattr(FolderWatch, "read", lambda self: _drained(self))
    monkeypatch.setattr(watching, "ANNOUNCED_SECONDS", 0.0)
    monkeypatch.setattr("bindserver.capture.log_source.NOTIFIED_SECONDS", 0.3)
    await follower.subscribe()
    await follower.until_it_rests(0.3)
    with caplog.at_level(logging.WARNING, "bindserver.capture"):
        await follower.sees_writes()
        await follower.until_it_rests(0.01)
    assert "has not told of a commit" in caplog.text
    monkeypatch.setattr("bindserver.capture.log_source.NOTIFIED_SECONDS", NEVER)
    await follower.sees_writes()


def _drained(watch: FolderWatch) -> set[str]:
    """Take what was told, and keep it back."""
    os.read(watch.fileno(), inotify.EVENTS_BYTES)
    return set()


async def test_where_no_system_tells_commits_are_looked_for(
    follower: Follower, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(inotify, "TELLING", {})
    monkeypatch.setattr(watching, "RETRY_SECONDS", 0.0)
    with caplog.at_level(logging.INFO, "bindserver.capture"):
        await follower.subscribe()
        await follower.sees_writes()
        await follower.until(lambda: "not watched" in caplog.text)
        await follower.until_it_rests(0.01)
        await follower.sees_writes()
    assert caplog.text.count("not watched") == 1


def heard_in(folder: Path) -> tuple[Watcher, asyncio.Queue[None]]:
    loop, heard = asyncio.get_running_loop(), asyncio.Queue[None]()

    def ring() -> None:
        loop.call_soon_threadsafe(heard.put_nowait, None)

    watcher = Watcher("default", folder / "db", ring)
    watcher.start()
    return watcher, heard


async def test_files_that_are_not_the_databases_wake_nobody(tmp_path: Path) -> None:
    watcher, heard = heard_in(tmp_path)
    for name in ("other", "db-shm", "db.bak", "db-wal2"):
        (tmp_path / name).write_text("x")
    await asyncio.to_thread(_until, lambda: not watcher._folder.waits())
    assert heard.empty()
    for name in ("db", "db-wal", "db-journal"):
        while not heard.empty():
            heard.get_nowait()
        (tmp_path / name).write_text("x")
        await asyncio.wait_for(heard.get(), 20)
    watcher.stop()
    watcher.join()
    assert watcher.ended


async def test_more_writes_than_the_system_remembers_wake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inotify, "_events", lambda data: iter([(inotify.OVERFLOW, "")]))
    watcher, heard = heard_in(tmp_path)
    (tmp_path / "other").write_text("x")
    await asyncio.wait_for(heard.get(), 20)
    watcher.stop()
    watcher.join()


async def test_a_folder_that_goes_is_watched_no_more(tmp_path: Path) -> None:
    (folder := tmp_path / "folder").mkdir()
    watcher, heard = heard_in(folder)
    folder.rmdir()
    await asyncio.wait_for(heard.get(), 20)
    assert watcher.ended
    watcher.stop()


def test_where_no_handle_is_left_nothing_is_watched(tmp_path: Path) -> None:
    notices = FileNotices("default", tmp_path / "db", lambda: None)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        notices.tend()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not notices.heard()
    with pytest.raises(Unwatchable):
        FolderWatch(tmp_path / "nowhere")


def test_looks_rest_longer_and_longer_after_a_write(tmp_path: Path) -> None:
    notices = FileNotices("default", tmp_path / "db", lambda: None)
    assert notices.again() == float("inf")
    notices.tend()
    watcher = notices._watcher
    assert watcher is not None
    rests = [notices.again() for _ in range(watching.LOOKS + 1)]
    assert rests[:3] == [0.0001, 0.0002, 0.0004]
    assert rests == sorted(rests)
    assert rests[-2:] == [watching.LAST_REST_SECONDS, float("inf")]
    watcher.written_at += 1
    assert notices.again() == watching.FIRST_REST_SECONDS
    notices.close()


def _until(done: Any) -> None:
    while not done():
        time.sleep(0.01)
