"""Live querysets for Django: every subscriber holds an always-correct copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bindserver.binding import Binding

__all__ = ["Binding", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import public names when they are first used, so that the engine needs no Django."""
    if name == "Binding":
        from bindserver.binding import Binding

        return Binding
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
