"""Reads a Dockerfile: its instructions, and those in the form of a list."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One instruction.

    Attributes:
        stage: the number of its stage, from 0.
        word: COPY, RUN and so on.
        text: what follows the word, on one line.
    """

    stage: int
    word: str
    text: str

    @property
    def words(self) -> list[str]:
        """What it runs; it must be written as a list, which no shell reads."""
        found: list[str] = json.loads(self.text[self.text.index("[") :])
        return found


def instructions(path: Path) -> Iterator[Instruction]:
    """Yield a file's instructions, in order."""
    text = re.sub(r"^#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    stage = -1
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip():
            word, _, rest = line.partition(" ")
            stage += word == "FROM"
            yield Instruction(stage=stage, word=word, text=" ".join(rest.split()))


def environment(found: list[Instruction]) -> dict[str, str]:
    """Return the variables that the last stage sets."""
    last = found[-1].stage
    pairs = [i.text.split() for i in found if i.word == "ENV" and i.stage == last]
    return dict(pair.split("=", 1) for line in pairs for pair in line)
