"""What a server tells Prometheus, read as Prometheus reads it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from urllib.request import Request, urlopen

from prometheus_client.parser import text_string_to_metric_families

from tests.support.server import Server
from tests.support.talk import PATIENCE_SECONDS

LOOK_SECONDS = 0.05


class Metrics:
    """One scrape.

    Args:
        text: what was answered.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.samples = [
            sample for family in text_string_to_metric_families(text) for sample in family.samples
        ]

    def value(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples that have these labels; 0 where there are none."""
        return sum(
            sample.value
            for sample in self.samples
            if sample.name == f"bindserver_{name}" and labels.items() <= sample.labels.items()
        )

    def labels(self) -> set[str]:
        """Return every label's value."""
        return {value for sample in self.samples for value in sample.labels.values()}


def scrape(server: Server, **headers: str) -> Metrics:
    """Return what a server answers now."""
    request = Request(f"http://127.0.0.1:{server.port}/metrics", headers=headers)
    with urlopen(request, timeout=PATIENCE_SECONDS) as response:
        return Metrics(response.read().decode())


async def scraped_until(server: Server, done: Callable[[Metrics], bool]) -> Metrics:
    """Scrape until a server tells what is to be true soon."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not done(metrics := await asyncio.to_thread(scrape, server)):
            await asyncio.sleep(LOOK_SECONDS)
    return metrics


def lines_of(server: Server, logger: str) -> list[dict[str, object]]:
    """Return what one of a server's loggers has logged so far, as JSON."""
    texts = [line for line in server.log.read_text().splitlines() if line.startswith("{")]
    lines: list[dict[str, object]] = [json.loads(text) for text in texts]
    return [line for line in lines if line["logger"] == logger]
