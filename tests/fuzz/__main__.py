"""Send odd input for a while: `python -m tests.fuzz --seconds 600 --seed 1`."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(10**9))
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_run(Path(folder), options.seconds, options.seed))
    return 0


async def _run(folder: Path, seconds: float, seed: int) -> None:
    from tests.fuzz.attack import FUZZED, Attack
    from tests.support.server import Server
    from tests.support.sqlite import SQLiteProgram

    server = Server(folder / "fuzz.sqlite3", FUZZED).prepare()
    program = SQLiteProgram(server.database)
    program.add_products(20)
    with server:
        attack, until, sizes = Attack(server, program, seed), time.monotonic() + seconds, []
        while time.monotonic() < until:
            await attack.round(frames=300, requests=60)
            sizes.append(attack.memory())
            print(f"round {len(sizes)}: {sizes[-1]} KiB", flush=True)
        print(dict(attack.answers.most_common()))
    program.close()


if __name__ == "__main__":
    sys.exit(main())
