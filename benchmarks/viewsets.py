"""A list, a 304 and a row by `BoundModelViewSet`, beside DRF's own `ModelViewSet` in the same run.

Run with `python -m benchmarks.viewsets --rows 10000`. It makes a database of its own in a temporary
folder. Times are of the view and its rendering alone, without a server; medians, in milliseconds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROUNDS = 25


def median(work: Callable[[], object]) -> str:
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return f"{statistics.median(times) * 1000:8.2f}"


def measure(rows: int) -> None:
    from django.core.management import call_command
    from rest_framework.test import APIRequestFactory

    from bindserver.hub.hub import hub
    from tests.app.models import Product
    from tests.app.pairs import pair

    call_command("migrate", run_syncdb=True, verbosity=0)
    call_command("bindings", "capture", "install", verbosity=0)
    Product.objects.bulk_create([Product(name=f"product {n}", stock=n) for n in range(rows)])

    def ask(viewset: Any, pk: int | None = None, **headers: str) -> Any:
        request = APIRequestFactory().get("/", headers=headers)
        view = viewset.as_view({"get": "list" if pk is None else "retrieve"})
        return (view(request) if pk is None else view(request, pk=pk)).render()

    plain, bound = pair("plain")
    tag = ask(bound).headers["ETag"]
    assert ask(bound, If_None_Match=tag).status_code == 304
    print(f"{rows} rows                 list      304      row")
    row = (median(lambda: ask(plain)), "       –", median(lambda: ask(plain, 1)))
    print("ModelViewSet       ", *row)
    known = median(lambda: ask(bound, If_None_Match=tag))
    print("BoundModelViewSet  ", median(lambda: ask(bound)), known, median(lambda: ask(bound, 1)))
    hub.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
        os.environ["DATABASE_URL"] = f"sqlite:///{Path(folder) / 'db.sqlite3'}"
        import django

        django.setup()
        measure(parser.parse_args().rows)
