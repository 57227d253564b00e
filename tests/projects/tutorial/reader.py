"""Does what a page of the docs says: runs its commands, and writes its files.

A block's place is told by the words before it:

    `path` now reads:                       the whole file; also "Write `path`:"
    at the end of `path`, add:              more lines at the end
    In `path`, put into `NAME`:             more items at the head of a list; a comment in it
                                            stands for those that are there
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WHOLE = re.compile(r"(?:`([\w/.]+)`\s+now\s+reads:|Write\s+`([\w/.]+)`:)\s*\Z")
END = re.compile(r"end\s+of\s+`([\w/.]+)`,\s+add:\s*\Z")
INTO = re.compile(r"In\s+`([\w/.]+)`,\s+put\s+into\s+`(\w+)`:\s*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One block of a page.

    Attributes:
        words: the paragraph before it.
        language: the block's language.
        text: what stands in it.
    """

    words: str
    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """The commands of a console block."""
        return [line.removeprefix("$ ") for line in self.text.splitlines() if line.startswith("$ ")]


def steps(page: Path) -> Iterator[Step]:
    """Yield a page's blocks, in order."""
    text, before = page.read_text(encoding="utf-8"), 0
    for block in BLOCK.finditer(text):
        words = text[before : block.start()].strip().rpartition("\n\n")[-1]
        yield Step(words=words, language=block[1], text=block[2])
        before = block.end()


class Reader:
    """Somebody who follows a page in a folder of their own.

    Args:
        folder: where they begin.
        substitutes: what stands for what in commands.
    """

    def __init__(self, folder: Path, substitutes: dict[str, str]) -> None:
        self.folder = folder
        self.env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DJANGO_", "PYTHON", "VIRTUAL_ENV"))
        }
        self._substitutes = substitutes

    def write(self, step: Step) -> bool:
        """Do what a block says to a file; False if it names none."""
        if found := WHOLE.search(step.words):
            path = self.folder / (found[1] or found[2])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step.text)
        elif found := END.search(step.words):
            path = self.folder / found[1]
            path.write_text(path.read_text() + "\n" + step.text)
        elif found := INTO.search(step.words):
            path, head = self.folder / found[1], f"{found[2]} = [\n"
            assert path.read_text().count(head) == 1
            first, *items, last = step.text.splitlines(keepends=True)
            assert (first, last) == (head, "]\n")
            more = "".join(item for item in items if not item.lstrip().startswith("#"))
            path.write_text(path.read_text().replace(head, head + more))
        else:
            return False
        return True

    def run(self, command: str) -> str:
        """Run a command as its line says, in the folder and environment that lines before left.

        Returns:
            What it printed.
        """
        for word, substitute in self._substitutes.items():
            command = command.replace(word, substitute)
        script = dedent(
            f"""
            set -e
            {command}
            printf '\\n@@@%s\\0' "$PWD"
            env -0
            """
        )
        done = subprocess.run(
            [shutil.which("bash") or "bash", "-c", script],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, f"$ {command}\n{done.stdout}"
        printed, _, left = done.stdout.rpartition("\n@@@")
        folder, *variables = left.rstrip("\0").split("\0")
        self.folder = Path(folder)
        self.env = dict(variable.split("=", 1) for variable in variables)
        return printed
