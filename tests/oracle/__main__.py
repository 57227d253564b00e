"""Runs the oracle: `python -m tests.oracle --database postgresql --servers 2 --seconds 60`."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.oracle.homes import Home

LOG_SHOWN = 4000


def main() -> int:
    """Run, print the figures, and return 1 if anything differed."""
    parser = argparse.ArgumentParser(prog="python -m tests.oracle", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--fault", default=None, help="a fault to plant in the server")
    parser.add_argument("--profile", default=None, help="the server's settings: see service.py")
    parser.add_argument("--database", choices=("sqlite", "postgresql", "mysql"), default="sqlite")
    parser.add_argument("--servers", type=int, default=1, help="how many processes serve it")
    parser.add_argument("--redis", action="store_true", help="hints travel among them")
    parser.add_argument("--often", default="", help="steps to take often: see steps.py")
    parser.add_argument("--kinds", default="", help="the views to follow, by kind: see truth.py")
    parser.add_argument(
        "--signals", action="store_true", help="several processes on one Redis, without a log"
    )
    parser.add_argument("--rests", type=int, default=1, help="how often to come to rest at least")
    parser.add_argument(
        "--comparisons",
        type=int,
        default=0,
        help="how many to make at least, however long it takes",
    )
    parser.add_argument("--patience", type=float, default=15, help="seconds to come to rest in")
    options = parser.parse_args()
    seed = random.randrange(10**9) if options.seed is None else options.seed
    shown = " --signals" if options.signals else f" --servers {options.servers}"
    shown += " --redis" if options.redis else ""
    shown += f" --profile {options.profile}" if options.profile else ""
    shown += f" --often {options.often}" if options.often else ""
    shown += f' --kinds "{options.kinds}"' if options.kinds else ""
    print(
        f"oracle: --database {options.database}{shown} --seed {seed} --seconds {options.seconds:g}",
        flush=True,
    )
    settings = "tests.settings" if options.signals else "tests.oracle.settings"
    os.environ["DJANGO_SETTINGS_MODULE"] = settings
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with tempfile.TemporaryDirectory(prefix="bindserver-oracle-") as name:
        folder = Path(name)
        from tests.oracle.homes import HOMES

        home = HOMES[options.database](folder)
        try:
            home.start()
            os.environ["DATABASE_URL"] = home.url
            run = _run_several if options.signals else _run
            return run(home, folder, seed, options)
        finally:
            home.stop()


def _run_several(home: Home, folder: Path, seed: int, options: argparse.Namespace) -> int:
    from tests.oracle.several import Several
    from tests.oracle.tally import Different

    several = Several(home, folder, seed, options.fault, options.profile, options.patience)
    try:
        asyncio.run(several.run(options.seconds, options.rests))
    except Different:
        print(several.report())
        print(f"\nthe servers' logs:\n{several.log()[-LOG_SHOWN:]}")
        return 1
    print(several.report())
    return 0


def _run(home: Home, folder: Path, seed: int, options: argparse.Namespace) -> int:
    import django

    from tests.support.redis import Redis

    redis = Redis(folder) if options.redis else None
    if redis is not None:
        os.environ["REDIS_URL"] = redis.url
        redis.start()
    django.setup()
    from tests.oracle.machine import Machine
    from tests.oracle.tally import Different

    machine = Machine(
        *(home, folder, seed, options.fault, options.profile),
        servers=options.servers,
        often=options.often.split(","),
        redis=redis,
        kinds=[kind for kind in options.kinds.split(",") if kind],
    )
    try:
        asyncio.run(machine.run(options.seconds, options.comparisons))
    except Different:
        print(machine.tally.report())
        print(f"\nthe servers' logs:\n{machine.service.log()[-LOG_SHOWN:]}")
        return 1
    finally:
        if redis is not None:
            redis.kill()
    print(machine.tally.report())
    return 0


if __name__ == "__main__":
    sys.exit(main())
