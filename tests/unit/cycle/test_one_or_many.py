"""Collections of few: they are what Python's own are, in the order in which members came."""

from __future__ import annotations

import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from bindserver.cycle.one_or_many import Few, FewBy, FewItems

ACTIONS = st.lists(st.tuples(st.sampled_from(["add", "discard", "clear"]), st.integers(0, 3)))


@settings(deadline=None)  # while all cores are busy, too
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


PUTS = st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 9)))


@given(puts=PUTS)
def test_items_are_those_of_a_dict(puts: list[tuple[bool, int, int]]) -> None:
    few, known = FewItems[int, int](), dict[int, int]()
    for puts_in, key, value in puts:
        if puts_in:
            few[key] = value
            known[key] = value
        else:
            few.pop(key, None)
            known.pop(key, None)
        assert list(few.items()) == list(known.items())
        assert len(few) == len(known)
        assert [few.get(n) for n in range(4)] == [known.get(n) for n in range(4)]
        assert [n in few for n in range(4)] == [n in known for n in range(4)]


def test_a_single_item_takes_no_mapping_of_its_own() -> None:
    few = FewItems[str, None]()
    few["one"] = None
    assert sys.getsizeof(few) < sys.getsizeof({"one": None}) / 3
    assert not hasattr(few, "__dict__")
    assert few["one"] is None


@given(puts=PUTS)
def test_members_stand_by_their_keys_in_the_order_of_coming(
    puts: list[tuple[bool, int, int]],
) -> None:
    few, known = FewBy[int, int](), dict[int, dict[int, None]]()
    for puts_in, key, member in puts:
        if puts_in:
            few.add(key, member)
            known.setdefault(key, {})[member] = None
        else:
            few.discard(key, member)
            known.get(key, {}).pop(member, None)
        there = {key: list(members) for key, members in known.items() if members}
        assert {key: list(few.of(key)) for key in few.keys()} == there
        assert len(few) == len(there)
        assert sorted(few.all()) == sorted(one for members in there.values() for one in members)
        assert all(not few.of(key) for key in range(4) if key not in there)
