"""An audience stays in order while nobody comes or goes, and each answer as it was given."""

from __future__ import annotations

from typing import Any

import pytest

from bindserver.cycle.followers import Followers
from bindserver.cycle.inbox import SubscriptionRef


class Listener:
    """Is told on a loop."""

    def __init__(self, loop: str) -> None:
        self.loop = loop


def ref(loop: str, number: int) -> SubscriptionRef:
    listener: Any = Listener(loop)
    return SubscriptionRef(listener, number)


def parts(audience: Followers) -> Any:
    """Return an audience by its loops."""
    return audience.by_loop()


def test_all_are_told_on_their_own_loops() -> None:
    audience, refs = Followers(), [ref("a", 1), ref("b", 2), ref("a", 3)]
    assert not audience.by_loop()
    for one in refs:
        audience.add(one)
    assert parts(audience) == {"a": [refs[0], refs[2]], "b": [refs[1]]}
    assert audience.by_loop() is audience.by_loop()


@pytest.mark.parametrize("change", ["add", "discard", "clear"])
def test_who_comes_or_goes_changes_nothing_of_what_was_said_before(change: str) -> None:
    audience, refs = Followers(), [ref("a", 1), ref("a", 2), ref("a", 3)]
    for one in refs:
        audience.add(one)
    before = parts(audience)
    if change == "add":
        audience.add(ref("a", 4))
    elif change == "discard":
        audience.discard(refs[0])
    else:
        audience.clear()
    assert before == {"a": refs}
    assert audience.by_loop() != before


def test_a_single_one_takes_no_more_than_itself() -> None:
    audience = Followers()
    audience.add(ref("a", 1))
    assert len(parts(audience)["a"]) == 1
    assert audience._by_loop is None
