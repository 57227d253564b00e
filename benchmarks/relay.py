"""What a hint costs whoever writes, and how long until another process has heard it.

Run with `python -m benchmarks.relay`. It starts a Redis of its own on a free port of 127.0.0.1.
Both ends are threads of one process, so the interpreter's lock is in these figures.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from tests.support.redis import Redis


def main() -> None:
    """Measure, and print a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hints", type=int, default=2000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Redis(Path(folder)) as redis:
        os.environ.update(REDIS_URL=redis.url, DJANGO_SETTINGS_MODULE="tests.settings")
        import django

        django.setup()
        measure(options.hints)


def measure(count: int) -> None:
    """Publish hints, all at once and then one by one."""
    from bindserver.engine.changes import Change
    from bindserver.relay.relay import Relay
    from tests.support.receiver import Receiver

    receiver = Receiver()
    reader, writer = Relay(receiver), Relay(Receiver())
    reader.listen()
    receiver.wait(lambda: receiver.compares > 0)
    costs, delays = [], []
    for number in range(count):
        change = Change(table="many", pks=frozenset({number}))
        began = time.perf_counter()
        writer.publish("default", [change])
        costs.append(time.perf_counter() - began)
    for number in range(count // 5):
        change = Change(table="one", pks=frozenset({number}))
        began = time.perf_counter()
        writer.publish("default", [change])
        receiver.wait(lambda number=number: number in (receiver.told.get("one") or ()))  # type: ignore[misc]
        delays.append(time.perf_counter() - began)
    writer.close()
    reader.close()
    costs.sort()
    delays.sort()
    print(
        f"to publish: median {costs[len(costs) // 2] * 1e6:.1f} µs, "
        f"99% {costs[len(costs) * 99 // 100] * 1e6:.0f} µs; heard elsewhere: "
        f"median {delays[len(delays) // 2] * 1e3:.2f} ms, "
        f"99% {delays[len(delays) * 99 // 100] * 1e3:.2f} ms"
    )


if __name__ == "__main__":
    main()
