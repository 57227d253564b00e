"""Makes foreign apps live and compares every state: python -m tests.strangers [APP ...].

Without names all are tried. Ends with a status other than 0 on any difference, and on
too few comparisons.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.strangers.environments import NAMES, prepare
from tests.strangers.project import Project
from tests.strangers.run import run
from tests.strangers.tally import HEAD, Tally
from tests.support.postgresql import own_cluster

DATABASES = ("sqlite", "postgresql")


@contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    """Give an empty database, and return its address."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'db.sqlite3'}"
        return
    with own_cluster() as cluster:
        yield cluster.url(cluster.make_database())


def compare(app: str, kind: str, fault: str | None) -> Tally:
    """Make one app live on a new database, and compare all its states."""
    python = prepare(app)
    with ExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix=f"{app}-")))
        url = ends.enter_context(database(kind, folder))
        return asyncio.run(run(Project(app, python, folder, url, fault)))


def main(arguments: list[str]) -> int:
    """Try the apps, print a row for each, and return how many went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.strangers", description=__doc__)
    parser.add_argument("apps", nargs="*", metavar="APP", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--database", choices=DATABASES, default="sqlite")
    parser.add_argument("--fault", default=os.environ.get("STRANGERS_FAULT"))
    options = parser.parse_args(arguments)
    if unknown := set(options.apps) - set(NAMES):
        parser.error(f"no such app: {', '.join(sorted(unknown))}")
    tallies = []
    print(HEAD, flush=True)
    for app in options.apps or [name for name in NAMES if name != "small"]:
        tallies.append(compare(app, options.database, options.fault))
        print(tallies[-1].row(), flush=True)
    for tally in tallies:
        for problem in tally.problems():
            print(f"{tally.app}: {problem}", flush=True)
    return sum(bool(tally.problems()) for tally in tallies)


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
