"""Soak: `python -m tests.soak --minutes 30 --database postgresql`."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
from pathlib import Path


def main() -> int:
    """Run, print a table, draw the plot, and return 1 if anything has not come back."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rounds", type=int, default=0, help="rests to measure at after the first")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--database", choices=("sqlite", "postgresql", "mysql"), default="sqlite")
    parser.add_argument("--plot", type=Path, default=Path("soak.svg"))
    options = parser.parse_args()
    seed = random.randrange(10**9) if options.seed is None else options.seed
    rounds = options.rounds or max(2, min(12, round(options.minutes / 2)))
    told = f"--database {options.database} --minutes {options.minutes:g} --rounds {rounds}"
    print(f"soak: {told} --seed {seed}", flush=True)
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django

    django.setup()
    from tests.oracle.homes import HOMES
    from tests.soak.soak import Soak, Trouble

    with tempfile.TemporaryDirectory(prefix="bindserver-soak-") as name:
        folder = Path(name)
        home = HOMES[options.database](folder)
        try:
            home.start()
            soak = Soak(home, folder, seed, lambda line: print(line, flush=True))
            try:
                asyncio.run(soak.run(options.minutes * 60, rounds))
            except Trouble as trouble:
                print(f"\n{trouble}\n\nthe server's log ends so:")
                print(soak.lasting.log.read_text()[-4000:])
                return 1
            return _report(soak, options.plot)
        finally:
            home.stop()


def _report(soak: object, plot: Path) -> int:
    from tests.soak.chart import chart
    from tests.soak.gauges import GAUGES
    from tests.soak.soak import Soak, troubles_of

    assert isinstance(soak, Soak)
    print(f"\n{'':22}{'first rest':>12}{'last':>10}{'highest':>10}{'may be':>10}")
    most = {}
    for gauge in GAUGES:
        values = soak.values[gauge.name]
        most[gauge.name] = gauge.most(values[0])
        numbers = (values[0], values[-1], max(values), most[gauge.name])
        told = "".join(f"{number:>{12 if at == 0 else 10}.4g}" for at, number in enumerate(numbers))
        print(f"{gauge.name:22}{told} {gauge.unit}")
    plot.write_text(chart(soak.minutes, soak.values, most))
    print(f"\nThe plot is in {plot}.")
    troubles = troubles_of(soak.values)
    for trouble in troubles:
        print(f"NOT BACK: {trouble}")
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main())
