"""The smallest project's views in plain Django, rendered past the cache."""

from __future__ import annotations

import dataclasses
from typing import Any

from cachalot.api import cachalot_disabled

from tests.strangers.small import plain
from tests.strangers.views import Rows, View


class Uncached(View):
    """A view that is rendered from the database."""

    def of(self, rows: Any, user: Any) -> Rows:
        with cachalot_disabled():
            return super().of(rows, user)


def views() -> list[View]:
    """Return all views."""
    return [
        Uncached(**{field.name: getattr(view, field.name) for field in dataclasses.fields(view)})
        for view in plain.views()
    ]
