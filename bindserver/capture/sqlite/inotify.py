"""Linux's inotify, as far as a database's files need it: who writes into a folder, and what."""

from __future__ import annotations

import ctypes
import functools
import os
import select
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MODIFY, CREATE, DELETE, MOVED_TO = 0x2, 0x100, 0x200, 0x80
WATCHED = MODIFY | CREATE | DELETE | MOVED_TO
OVERFLOW, IGNORED = 0x4000, 0x8000
EVENT = struct.Struct("iIII")
"""An event's head: watch, what happened, a number that joins two of them, the name's length."""
EVENTS_BYTES = 64 * 1024

TELLING = {
    0xEF53: "ext4",  # and its elders
    0x01021994: "tmpfs",
    0x794C7630: "overlayfs",
    0x58465342: "XFS",
    0x9123683E: "Btrfs",
    0xF2F52010: "F2FS",
    0x2FC12FC1: "ZFS",
}
"""File systems that tell of every write, by the numbers that `statfs` has for them.
Those that can be written to behind their mount (a network's, FUSE) tell of what is written through
it, and of nothing else."""


class Unwatchable(Exception):
    """The system cannot tell of writes to a file."""


@functools.cache
def _libc() -> Any:
    """Return the C library.

    Raises:
        Unwatchable: it has no inotify; this is not Linux.
    """
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.inotify_init1.argtypes = [ctypes.c_int]
        libc.inotify_add_watch.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32]
        libc.statfs.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
    except (OSError, AttributeError, TypeError) as problem:
        raise Unwatchable("this system has no inotify") from problem
    return libc


def file_system(path: Path) -> int:
    """Return the number that `statfs` has for the kind of file system that a path is on.

    Raises:
        Unwatchable: it cannot be asked.
    """
    answer = ctypes.create_string_buffer(512)
    if _libc().statfs(os.fsencode(path), answer):
        raise Unwatchable(os.strerror(ctypes.get_errno()))
    return ctypes.c_ulong.from_buffer(answer).value & 0xFFFFFFFF


class FolderWatch:
    """Hears of writes to files of one folder.

    Args:
        folder: the folder.

    Raises:
        Unwatchable: the system cannot tell, or not of all writes.
    """

    def __init__(self, folder: Path) -> None:
        kind = file_system(folder)
        if kind not in TELLING:
            raise Unwatchable(f"a file system of kind {kind:#x} may not tell of all writes")
        libc = _libc()
        self._file = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._file < 0:
            raise Unwatchable(os.strerror(ctypes.get_errno()))
        if libc.inotify_add_watch(self._file, os.fsencode(folder), WATCHED) < 0:
            problem = os.strerror(ctypes.get_errno())
            os.close(self._file)
            raise Unwatchable(problem)
        self._poll = select.poll()
        self._poll.register(self._file, select.POLLIN)

    def fileno(self) -> int:
        return int(self._file)

    def waits(self) -> bool:
        """Return whether there is something to read."""
        return bool(self._poll.poll(0))

    def read(self) -> set[str] | None:
        """Return the names of the files that were written to since the last call; None where more
        happened than the system could remember.

        Raises:
            Unwatchable: the folder is gone.
        """
        try:
            data = os.read(self._file, EVENTS_BYTES)
        except BlockingIOError:
            return set()
        names, lost = set(), False
        for mask, name in _events(data):
            if mask & IGNORED:
                raise Unwatchable("the folder is gone")
            lost |= bool(mask & OVERFLOW)
            names.add(name)
        return None if lost else names

    def close(self) -> None:
        """Watch no more."""
        os.close(self._file)


def _events(data: bytes) -> Iterator[tuple[int, str]]:
    at = 0
    while at < len(data):
        _, mask, _, length = EVENT.unpack_from(data, at)
        at += EVENT.size
        yield mask, os.fsdecode(data[at : at + length].rstrip(b"\0"))
        at += length
