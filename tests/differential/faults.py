"""Faults to plant, by name: the comparison must find each."""

from __future__ import annotations


def plant(name: str | None) -> None:
    """Plant a fault in this process."""
