"""Compares with DRF: `python -m tests.differential --database postgresql --examples 7000`."""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.passing import Passing

DATABASES = ("sqlite", "postgresql", "mysql")


def main() -> int:
    """Run, print the figures, and return 1 if anything differed."""
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("--database", choices=(*DATABASES, "all"), default="sqlite")
    parser.add_argument("--examples", type=int, default=500, help="how many bindings to try")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--faults", default=None, help="faults to plant and find, or all")
    parser.add_argument("--batch", type=int, default=None, help="the one batch to run again")
    parser.add_argument("--go-on", action="store_true", help="tell of many differences, not of one")
    parser.add_argument("--known", action="store_true", help="generate what is known to differ too")
    options = parser.parse_args()
    seed = random.randrange(10**9) if options.seed is None else options.seed
    if options.database == "all":
        return _run_all(seed, options)
    print(
        f"differential: --database {options.database} --examples {options.examples} --seed {seed}",
        flush=True,
    )
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.differential.settings"
    with tempfile.TemporaryDirectory(prefix="bindserver-differential-") as name:
        from tests.oracle.homes import HOMES

        home = HOMES[options.database](Path(name))
        try:
            home.start()
            os.environ["DATABASE_URL"] = home.url
            return _run(seed, options)
        finally:
            home.stop()


def _run_all(seed: int, options: argparse.Namespace) -> int:
    """Compare a third of the examples on each database, at the same time; each has its own."""
    share = str(-(-options.examples // len(DATABASES)))
    command = [sys.executable, "-m", "tests.differential", "--examples", share]
    command += ["--go-on"] * options.go_on
    running = [
        subprocess.Popen([*command, "--database", name, "--seed", str(seed + at)])
        for at, name in enumerate(DATABASES)
    ]
    return max([one.wait() for one in running])


def _run(seed: int, options: argparse.Namespace) -> int:
    import django

    django.setup()
    from django.db import connections

    from tests.differential.comparing import Comparison
    from tests.differential.known import KNOWN
    from tests.differential.world import make_database
    from tests.support.passing import passing_time

    if options.known:
        KNOWN.clear()
    make_database()
    try:
        with passing_time() as passing:
            if options.faults is not None:
                return _find(options.faults.split(","), seed, options.examples, passing)
            comparison = Comparison(seed, passing, options.batch, go_on=options.go_on)
            comparison.run(options.examples)
            print(comparison.report())
            return 1 if comparison.differences else 0
    finally:
        connections.close_all()


def _find(names: list[str], seed: int, examples: int, passing: Passing) -> int:
    """Plant one fault after the other; return 1 if one of them is not found."""
    from tests.differential.comparing import Comparison
    from tests.faults.differential import FAULTS, SHOWN_BY

    missed = 0
    for name in sorted(FAULTS) if names == ["all"] else names:
        comparison = Comparison(seed, passing, quiet=True, among=SHOWN_BY.get(name, ""))
        with FAULTS[name]():
            comparison.run(examples)
        missed += not comparison.differences
        found = f"found after {comparison.tried}" if comparison.differences else "MISSED"
        print(f"{name}: {found}", flush=True)
    print(f"missed: {missed}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
