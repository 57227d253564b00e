"""Bindings that a module of tests declares for itself: those of the tests' app are checked, and
watched, by tests that know nothing of them."""

from __future__ import annotations

from collections.abc import Mapping

from bindserver.bindings.registry import registry


def keep_out(declared: Mapping[str, object]) -> None:
    """Take all bindings that a module has declared out of the registry.

    Args:
        declared: the module's names, at its end.
    """
    for kind in registry.all():
        if kind.__module__ == declared["__name__"]:
            registry.remove(kind)
