"""Compare many pairs of contexts: `python -m tests.sharing --pairs 100000 --seed 1`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DATABASE_URL"] = f"sqlite:///{Path(folder) / 'sharing.sqlite3'}"
        return _run(options.pairs, options.seed)


def _run(pairs: int, seed: int) -> int:
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connections

    from tests.sharing.pairs import compare, fill
    from tests.sharing.places import PLACES

    call_command("migrate", run_syncdb=True, verbosity=0)
    fill()
    tally = compare(pairs, seed)
    for place in PLACES:
        shared, apart = tally.shared[place.name], tally.apart[place.name]
        together = tally.together[place.name]
        print(f"{place.name:32} {shared:8,} shared {apart:8,} apart {together:8,} of them together")
    for line in [*tally.wrong[:20], *tally.split[:20]]:
        print(line)
    connections.close_all()
    print(f"{pairs:,} pairs: {len(tally.wrong)} wrongly shared, {len(tally.split)} split in vain")
    return 1 if tally.wrong or tally.split else 0


sys.exit(main())
