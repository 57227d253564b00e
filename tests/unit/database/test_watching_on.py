"""The watchdog's thread goes on looking, whatever one look comes to."""

from __future__ import annotations

import threading
from typing import Any

from bindserver.database.watchdog import _Keeper


class Dog:
    """A watchdog whose first look wants to end the thread."""

    def __init__(self) -> None:
        self.looks = 0
        self.has_looked_again = threading.Event()

    def look(self) -> None:
        self.looks += 1
        if self.looks == 1:
            raise SystemExit(1)
        self.has_looked_again.set()


def test_a_look_that_wants_to_end_the_thread_is_followed_by_others() -> None:
    keeper, dog = _Keeper(), Dog()
    watched: Any = dog
    keeper.add(watched)
    assert dog.has_looked_again.wait(60)
    keeper.remove(watched)
