"""A stranger's project on a database of its own: migrated, logged, written to and served."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.support.process import Process
from tests.support.server import ROOT, free_port

QUIET = ("DJANGO_", "PYTHON", "VIRTUAL_ENV", "DATABASE_URL", "STRANGERS", "BINDSERVER", "DEBUG")
LINE_BYTES = 64 * 1024 * 1024
ANSWER_SECONDS = 300
"""How long an app may take for one action, or to render all its views; on a busy machine too."""


class ActionFailed(Exception):
    """The app's own code refused what the writer was to do with it."""


class Project:
    """One app's project.

    Args:
        app: the app's name, which its package has too.
        python: the interpreter of its environment.
        folder: where its files are.
        url: its database's address.
        fault: the fault to plant in its server, or None.
    """

    def __init__(self, app: str, python: Path, folder: Path, url: str, fault: str | None) -> None:
        self.app = app
        self.port = free_port()
        self._python = str(python)
        self._folder = folder
        self._fault = {"STRANGERS_FAULT": fault} if fault else {}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(QUIET)}
        self._env = {
            **kept,
            "DATABASE_URL": url,
            "DJANGO_SETTINGS_MODULE": f"tests.strangers.{app}.settings",
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "STRANGERS_FOLDER": str(folder),
        }

    async def manage(self, *arguments: str) -> None:
        """Run a management command.

        Raises:
            RuntimeError: it failed.
        """
        process = await asyncio.create_subprocess_exec(
            *(self._python, "manage.py", *arguments),
            cwd=ROOT,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            said, _ = await process.communicate()
        finally:
            await _end(process)
        if process.returncode:
            raise RuntimeError(f"manage.py {' '.join(arguments)}\n{said.decode()}")

    def server(self) -> Process:
        """Return its server, to be started."""
        return Process(
            [self._python, "manage.py", "bindserver", "--no-reload", "--port", str(self.port)],
            port=self.port,
            env={**self._env, **self._fault},
            cwd=ROOT,
            log=self._folder / "server.log",
        )

    async def writer(self) -> Writer:
        """Start the process that writes."""
        with (self._folder / "writer.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(self._python, "-m", "tests.strangers.writer"),
                cwd=ROOT,
                env=self._env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                limit=LINE_BYTES,
            )
        return Writer(process)


class Writer:
    """The process that writes, from outside."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, call: str, *arguments: Any) -> dict[str, Any]:
        """Have something done, and return the answer.

        Raises:
            ActionFailed: it could not be done.
            TimeoutError: there was no answer.
        """
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([call, *arguments]).encode() + b"\n")
        async with asyncio.timeout(ANSWER_SECONDS):
            line = await self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"failed": "the writer has died"}
        if "failed" in answer:
            raise ActionFailed(f"{call} {arguments}: {answer['failed']}")
        return answer

    async def close(self) -> None:
        """End it, whatever it is doing."""
        await _end(self._process)


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended
        process.kill()
    await process.wait()
