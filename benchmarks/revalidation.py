"""What it costs to look again at who is connected, every REVALIDATE_SECONDS.

One server, and as many connections as are asked for, each of a user of its own with a session.
Nothing is written, so that all that the server computes is looks, pings and its idle beat. The same
is measured with looks an hour apart, and the difference is divided by the looks.

    python -m benchmarks.revalidation --database postgresql --connections 500
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import django

from benchmarks.homes import HOMES, SETTINGS, Home, Place, cpu_of
from tests.support.server import Server
from tests.support.talk import talking

NEVER = 3600.0
AT_ONCE = 50


async def measure(
    place: Place, visitors: list[dict[str, str]], every: float, seconds: float
) -> float:
    """Return which share of a core a server takes, while visitors are looked at so often."""
    server = Server(place.server.database, {"REVALIDATE_SECONDS": every}, url=place.url)
    gate = asyncio.Semaphore(AT_ONCE)
    with server:
        async with AsyncExitStack() as stack:

            async def connect(headers: dict[str, str]) -> None:
                async with gate:
                    talk = await stack.enter_async_context(talking(server.ws, headers))
                    await talk.ping()

            await asyncio.gather(*(connect(headers) for headers in visitors))
            await asyncio.sleep(every if every < NEVER else 1.0)  # by then all have been looked at
            computed, began = cpu_of(server.pid), time.monotonic()
            await asyncio.sleep(seconds)
            return (cpu_of(server.pid) - computed) / (time.monotonic() - began)


def compare(home: Home, options: argparse.Namespace) -> None:
    """Print what a look costs."""
    place = home.make()
    program = place.program()
    visitors = [program.log_in(f"user{number:05}x") for number in range(options.connections)]
    program.close()
    often, never = (
        asyncio.run(measure(place, visitors, every, options.seconds))
        for every in (options.every, NEVER)
    )
    looks = options.connections / options.every
    print(
        f"{options.database}, {options.connections} connections, each looked at every "
        f"{options.every:g} s: {often:.1%} of a core, without looks {never:.1%}; "
        f"{(often - never) / looks * 1000:.2f} ms a look"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--database", choices=sorted(HOMES), default="sqlite")
    parser.add_argument("--connections", type=int, default=500)
    parser.add_argument("--every", type=float, default=5.0, help="REVALIDATE_SECONDS")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to measure")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", SETTINGS)
    django.setup()  # a visitor's session is Django's
    with tempfile.TemporaryDirectory() as folder:
        home = HOMES[options.database](Path(folder), durable=False)
        try:
            compare(home, options)
        finally:
            home.stop()


if __name__ == "__main__":
    main()
