"""What is counted and compared of strangers: a check that cannot fail would be none."""

from __future__ import annotations

from tests.strangers.tally import DOORS, LOOKS, Tally, difference

ROWS = [{"id": 1, "name": "tea"}, {"id": 2, "name": "ink"}]


def whole(actions: int = 3) -> Tally:
    """Return the tally of a run in which all was right."""
    tally = Tally("app", onlookers=1, least=actions, actions=actions)
    for number in range(actions + LOOKS):
        tally.look({"products": [[{"id": number}]]})
        for door in DOORS:
            tally.compare(door, "products", "for nobody", ROWS, list(ROWS))
    return tally


def test_a_run_in_which_all_is_right_has_no_problems() -> None:
    assert whole().problems() == []


def test_a_difference_is_told_once_for_each_view_with_its_number() -> None:
    tally = whole()
    for _ in range(2):
        tally.differ("products", "for ann over HTTP: nothing at all")
    assert tally.problems() == ["products, 2 times: for ann over HTTP: nothing at all"]


def test_rows_in_another_order_differ() -> None:
    tally = whole()
    assert not tally.compare("HTTP", "products", "for nobody", ROWS, ROWS[::-1])
    assert "row 0 has" in tally.differences["products"][0]


def test_no_rows_and_none_that_may_be_seen_differ() -> None:
    tally = whole()
    assert not tally.compare("HTTP", "products", "for nobody", None, [])
    assert not tally.compare("HTTP", "products", "for nobody", [], None)
    assert tally.compare("HTTP", "products", "for nobody", None, None)


def test_too_few_comparisons_are_a_problem() -> None:
    tally = whole()
    tally.doors["HTTP"] -= 1
    assert tally.problems() == ["4 states were compared over HTTP, not 5"]
    assert Tally("app").problems()


def test_too_few_actions_are_a_problem() -> None:
    tally = whole()
    tally.least = 9
    assert tally.problems() == ["only 3 of at least 9 actions were done"]


def test_a_view_that_never_changed_is_a_problem() -> None:
    tally = whole()
    tally.moved["products"] = 0
    assert tally.problems() == ["products never changed"]


def test_a_difference_is_told_by_what_differs() -> None:
    wrong = [ROWS[0], {"id": 2, "name": "pen"}]
    assert difference(ROWS, wrong) == 'row 1 has {"name": "pen"}, not {"name": "ink"}'
    assert difference(ROWS, ROWS[:1]).startswith("1 rows where 2 are right")
    assert difference(None, ROWS[:1]).endswith("where nothing at all is right")
