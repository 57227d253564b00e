"""How many views there may be, for each owner and in all."""

from __future__ import annotations

import logging

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.utils.functional import SimpleLazyObject

from bindserver.cycle.budget import Budget, BudgetLimits, Full
from bindserver.cycle.inbox import Caller
from bindserver.cycle.owners import Owner, address_of, owner_of
from bindserver.cycle.shortages import ShortageLog, words_of

ANN, EVE = Owner("auth.User", "1"), Owner("auth.User", "2")
NOBODY_S = Owner(None, "192.0.2.7")
LIMITS = BudgetLimits(views=100, bytes=10_000, views_share=0.1, bytes_share=0.25)


def budget_of(**views: int) -> Budget[str]:
    """Return a budget in which each owner has so many views."""
    budget = Budget[str](LIMITS)
    for name, count in views.items():
        for number in range(count):
            budget.open(f"{name} {number}", Owner("auth.User", name), 10)
    return budget


def fill(budget: Budget[str], owner: Owner, size: int = 0) -> int:
    """Give an owner views for as long as there is room; return how many."""
    for number in range(1_001):
        if budget.shortage(owner, views=1, size=size) is not None:
            return number
        budget.open(f"{owner} {number}", owner, size)
    raise AssertionError("there is no end of it")


class TestAnOwner:
    def test_has_no_more_views_than_a_share(self) -> None:
        budget = Budget[str](LIMITS)
        assert fill(budget, ANN) == 10
        shortage = budget.shortage(ANN, views=1)
        assert shortage is not None
        assert (shortage.full, shortage.of_bytes) == (Full.SHARE, False)
        assert budget.shortage(EVE, views=1) is None

    def test_has_no_more_bytes_than_a_share(self) -> None:
        budget = Budget[str](LIMITS)
        assert fill(budget, ANN, size=1_000) == 2
        shortage = budget.shortage(ANN, views=1, size=1_000)
        assert shortage is not None
        assert (shortage.full, shortage.of_bytes) == (Full.SHARE, True)
        assert budget.shortage(EVE, views=1, size=1_000) is None

    def test_leaves_as_much_to_others_as_she_has(self) -> None:
        budget = budget_of(**{str(number): 10 for number in range(10, 19)})
        assert budget.views == 90
        assert fill(budget, ANN) == 5
        shortage = budget.shortage(ANN, views=1)
        assert shortage is not None
        assert shortage.full is Full.REST

    def test_finds_room_for_a_few_views_however_many_have_taken_all_they_can_get(self) -> None:
        budget = Budget[str](
            BudgetLimits(views=10_000, bytes=2**30, views_share=0.1, bytes_share=0.25)
        )
        for number in range(14):
            fill(budget, Owner(None, f"192.0.2.{number}"))
        assert fill(budget, ANN) >= 10

    def test_may_have_all_where_the_share_is_one(self) -> None:
        limits = BudgetLimits(views=20, bytes=10_000, views_share=1, bytes_share=1)
        assert fill(Budget[str](limits), ANN) == 20

    def test_has_one_view_at_least_however_small_the_share_is(self) -> None:
        limits = BudgetLimits(views=3, bytes=10_000, views_share=0.1, bytes_share=0.25)
        assert fill(Budget[str](limits), ANN) == 1


class TestABudget:
    def test_knows_what_all_take_and_each(self) -> None:
        budget = Budget[str](LIMITS)
        first, other = budget.open("one", ANN, 100), budget.open("other", EVE, 10)
        budget.resize(first, 300)
        budget.resize(other, 5)
        assert (budget.views, budget.bytes) == (2, 305)
        assert (budget.account(ANN).bytes, budget.account(EVE).bytes) == (300, 5)
        budget.close("one", first)
        assert (budget.views, budget.bytes, budget.account(ANN).bytes) == (1, 5, 0)

    def test_counts_a_view_that_is_closed_twice_once(self) -> None:
        budget = Budget[str](LIMITS)
        charge = budget.open("one", ANN, 100)
        budget.open("other", ANN, 100)
        budget.close("one", charge)
        budget.close("one", charge)
        assert (budget.views, budget.bytes) == (1, 100)

    def test_counts_a_view_for_another_once_it_is_handed_over(self) -> None:
        budget = Budget[str](LIMITS)
        charge = budget.open("one", ANN, 100)
        budget.hand_over("one", charge, EVE, holds=2)
        assert (budget.account(ANN).bytes, len(budget.account(ANN).charges)) == (0, 0)
        assert (budget.account(EVE).bytes, charge.holds) == (100, 2)
        assert (budget.views, budget.bytes) == (1, 100)

    def test_bounds_what_nobody_s_share_is_by_all_there_may_be(self) -> None:
        budget = Budget[str](LIMITS)
        for number in range(100):
            assert budget.shortage(None, views=1) is None
            budget.open(str(number), None, 0)
        shortage = budget.shortage(None, views=1)
        assert shortage is not None
        assert shortage.full is Full.TOTAL

    def test_forgets_owners_who_have_nothing(self) -> None:
        budget = Budget[str](LIMITS)
        for number in range(1_000):
            owner = Owner(None, str(number))
            assert budget.shortage(owner, views=1) is None
            budget.close("view", budget.open("view", owner, 10))
        assert budget._accounts == {}

    def test_tells_operators_who_has_most_and_no_address(self) -> None:
        budget = budget_of(ann=3, eve=2)
        budget.open("anonymous", NOBODY_S, 1_000)
        facts = budget.facts(refused=4)
        assert (facts.views, facts.bytes, facts.refused) == (6, 1_050, 4)
        assert [tuple(use) for use in facts.owners] == [
            (None, None, 1, 1_000),
            ("auth.User", "ann", 3, 30),
            ("auth.User", "eve", 2, 20),
        ]
        assert NOBODY_S.name not in repr(facts)


class TestWhoAsks:
    def test_is_the_user_wherever_they_are(self) -> None:
        callers = [
            Caller(user=User(pk=7), address="192.0.2.1"),
            Caller(user=SimpleLazyObject(lambda: User(pk=7)), address="192.0.2.2"),
        ]
        assert {owner_of(caller) for caller in callers} == {Owner("auth.User", "7")}

    def test_is_the_address_where_nobody_is_logged_in(self) -> None:
        for user in (None, AnonymousUser()):
            assert owner_of(Caller(user=user, address="192.0.2.1")) == Owner(None, "192.0.2.1")

    def test_is_nobody_where_code_of_the_server_s_own_asks(self) -> None:
        assert owner_of(Caller()) is None

    def test_shares_a_view_with_whoever_asks_alike_from_elsewhere(self) -> None:
        here, there = Caller(address="192.0.2.1"), Caller(address="192.0.2.2")
        assert here == there
        assert here.identity() == there.identity()

    @pytest.mark.parametrize(
        ("host", "counts"),
        [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::", "2001:db8:1:2::/64"),
            ("fe80::1%eth0", "fe80::/64"),
            ("testclient", "unknown"),
            ("", "unknown"),
            (None, "unknown"),
        ],
    )
    def test_counts_by_what_a_client_cannot_choose(self, host: str | None, counts: str) -> None:
        assert address_of(host) == counts


class TestAShortage:
    @pytest.mark.parametrize(
        ("budget", "owner", "size", "setting"),
        [
            (budget_of(ann=10), Owner("auth.User", "ann"), 0, "OWNER_VIEWS_SHARE"),
            (budget_of(ann=1), Owner("auth.User", "ann"), 3_000, "OWNER_BYTES_SHARE"),
            (budget_of(**{str(n): 10 for n in range(10)}), ANN, 0, "(MAX_VIEWS "),
            (budget_of(ann=1), None, 10_000, "MAX_VIEWS_BYTES"),
        ],
    )
    def test_is_told_with_the_setting_and_what_to_do(
        self, budget: Budget[str], owner: Owner | None, size: int, setting: str
    ) -> None:
        shortage = budget.shortage(owner, views=1, size=size)
        assert shortage is not None
        assert setting in words_of(shortage)
        assert "try again later" in words_of(shortage)

    def test_is_logged_once_and_after_an_hour_with_a_count(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        now = [100.0]
        log, budget = ShortageLog("default", lambda: now[0]), Budget[str](LIMITS)
        fill(budget, NOBODY_S)
        shortage = budget.shortage(NOBODY_S, views=1)
        assert shortage is not None
        with caplog.at_level(logging.WARNING):
            for _ in range(50):
                log.refuse(shortage)
            (first,) = caplog.messages
            now[0] += 3_600
            log.refuse(shortage)
        assert log.refused == 51
        for word in ("192.0.2.7", "OWNER_VIEWS_SHARE", "Behind a proxy"):
            assert word in first
        assert "50 times more" in caplog.messages[1]
