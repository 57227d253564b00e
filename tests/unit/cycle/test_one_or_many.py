"""Collections of few: they are what Python's own are, in the order in which members came."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st

from bindserver.cycle.one_or_many import Few

ACTIONS = st.lists(st.tuples(st.sampled_from(["add", "discard", "clear"]), st.integers(0, 3)))


@given(actions=ACTIONS)
def test_they_have_what_was_added_and_not_discarded_in_the_order_of_coming(
    actions: list[tuple[str, int]],
) -> None:
    few, known = Few[int](), dict[int, None]()
    for action, member in actions:
        if action == "add":
            few.add(member)
            known.setdefault(member)
        elif action == "discard":
            few.discard(member)
            known.pop(member, None)
        else:
            few.clear()
            known.clear()
        assert list(few) == list(known)
        assert len(few) == len(known)
        assert bool(few) == bool(known)
        assert [n in few for n in range(4)] == [n in known for n in range(4)]
        assert few - {0, 1} == known.keys() - {0, 1}


def test_members_may_be_empty_collections_themselves() -> None:
    few = Few[tuple[int, ...]]()
    few.add(())
    assert list(few) == [()]
    few.add((1,))
    assert list(few) == [(), (1,)]
    few.discard(())
    assert list(few) == [(1,)]


def test_a_single_member_takes_no_collection_of_its_own() -> None:
    few = Few[str]()
    few.add("one")
    assert sys.getsizeof(few) < sys.getsizeof({"one"}) / 3
    assert not hasattr(few, "__dict__")
