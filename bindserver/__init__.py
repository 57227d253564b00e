"""Live querysets for Django: every subscriber holds an always-correct copy."""

from bindserver.binding import Binding

__all__ = ["Binding", "__version__"]
__version__ = "0.1.0"
