"""Django's test cases with `self.live`."""

from __future__ import annotations

from functools import cached_property

from django.test import TestCase

from bindserver.testing.live import Live


class LiveTestMixin:
    """Gives a test case `self.live`, a fresh one for each test."""

    @cached_property
    def live(self) -> Live:
        """What a server would send."""
        return Live()


class LiveTestCase(LiveTestMixin, TestCase):
    """Django's `TestCase` with `self.live`."""
