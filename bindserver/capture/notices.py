"""Being told of commits: what there may be besides looking for them."""

from __future__ import annotations

from typing import Protocol


class Notices(Protocol):
    """Tells a cycle of commits. Nothing depends on it but how often is looked for these."""

    def heard(self) -> bool:
        """Return whether it is proved, as far as that can be, that a commit would be heard of."""

    def again(self) -> float:
        """Return how long to rest before the next look, at most: what was heard of may not be
        visible yet. Called once for each look."""

    def found(self) -> None:
        """Called when a look has found a commit, be it announced or not."""

    def tend(self) -> None:
        """Start, prove or end listening, as it is due."""

    def close(self) -> None:
        """End listening, and wait until the thread has ended."""
