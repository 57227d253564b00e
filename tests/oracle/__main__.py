"""Runs the oracle: `python -m tests.oracle --seconds 60 --seed 7`."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
from pathlib import Path

LOG_SHOWN = 4000


def main() -> int:
    """Run, print the figures, and return 1 if anything differed."""
    parser = argparse.ArgumentParser(prog="python -m tests.oracle", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--fault", default=None, help="a fault to plant in the server")
    parser.add_argument("--profile", default=None, help="the server's settings: see service.py")
    parser.add_argument(
        "--signals", action="store_true", help="several processes on one Redis, without a log"
    )
    parser.add_argument("--patience", type=float, default=15, help="seconds to come to rest in")
    options = parser.parse_args()
    seed = random.randrange(10**9) if options.seed is None else options.seed
    shown = " --signals" if options.signals else ""
    print(f"oracle:{shown} --seed {seed} --seconds {options.seconds:g}", flush=True)
    with tempfile.TemporaryDirectory(prefix="bindserver-oracle-") as directory:
        database = Path(directory) / "oracle.sqlite3"
        os.environ["DATABASE_URL"] = f"sqlite:///{database}"
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
        if options.signals:
            return _run_several(Path(directory), seed, options)
        return _run(database, seed, options)


def _run_several(folder: Path, seed: int, options: argparse.Namespace) -> int:
    from tests.oracle.several import Several
    from tests.oracle.tally import Different

    several = Several(folder, seed, options.fault, options.profile, options.patience)
    try:
        asyncio.run(several.run(options.seconds))
    except Different:
        print(several.report())
        print(f"\nthe servers' logs:\n{several.log()[-LOG_SHOWN:]}")
        return 1
    print(several.report())
    return 0


def _run(database: Path, seed: int, options: argparse.Namespace) -> int:
    import django

    django.setup()
    from tests.oracle.machine import Machine
    from tests.oracle.tally import Different

    machine = Machine(database, seed, options.fault, options.profile)
    try:
        asyncio.run(machine.run(options.seconds))
    except Different:
        print(machine.tally.report())
        print(f"\nthe server's log:\n{machine.service.log()[-LOG_SHOWN:]}")
        return 1
    print(machine.tally.report())
    return 0


if __name__ == "__main__":
    sys.exit(main())
