"""Where `Proof` has been imported from; `from bindserver import Proof` is the same."""

from bindserver.websocket.authentication import Proof

__all__ = ["Proof"]
