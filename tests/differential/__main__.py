"""Compares with DRF: `python -m tests.differential --database postgresql --examples 7000`."""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from pathlib import Path


def main() -> int:
    """Run, print the figures, and return 1 if anything differed."""
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgresql", "mysql"), default="sqlite")
    parser.add_argument("--examples", type=int, default=500, help="how many bindings to try")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--fault", default=None, help="a fault to plant: see faults.py")
    parser.add_argument("--batch", type=int, default=None, help="the one batch to run again")
    parser.add_argument("--go-on", action="store_true", help="tell of many differences, not of one")
    options = parser.parse_args()
    seed = random.randrange(10**9) if options.seed is None else options.seed
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


def _run(seed: int, options: argparse.Namespace) -> int:
    import django

    django.setup()
    from tests.differential.comparing import Comparison

    comparison = Comparison(seed, options.fault, options.batch, go_on=options.go_on)
    comparison.run(options.examples)
    print(comparison.report())
    return 1 if comparison.differences else 0


if __name__ == "__main__":
    sys.exit(main())
