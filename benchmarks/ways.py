"""Ways of reading that can be switched off, so that one run measures with and without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

SHAPES = "bindserver.queries.plan.shape_of"
"""Where queries ask for what they have in common with others."""


class Sharing:
    """That views of one shape are read together.

    Attributes:
        found: whether any queries were found that can be, since the last `watch`.
    """

    def __init__(self) -> None:
        self.found = False

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Note whether there are any."""
        from bindserver.queries.shapes import shape_of

        self.found = False

        def looked(*asked: Any, **given: Any) -> Any:
            shape = shape_of(*asked, **given)
            self.found = self.found or shape is not None
            return shape

        with patch(SHAPES, looked):
            yield

    @contextmanager
    def off(self) -> Iterator[None]:
        """Have no two views read together."""
        with patch(SHAPES, lambda *_, **__: None):
            yield
