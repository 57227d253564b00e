"""Whose bindings are asked again when rows change that they have read: those whose rows these are,
or were, where the SQL says whose it wants; else all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import connections
from django.db.models import Count, QuerySet
from rest_framework.permissions import BasePermission, DjangoModelPermissions

from bindserver import Binding
from bindserver.bindings.registry import registry
from bindserver.cycle.inbox import Caller, SessionRequest
from bindserver.engine.effects import Ask
from bindserver.engine.protocol import Subscribe
from tests.app.models import Category, Membership, Product
from tests.support.registered import keep_out
from tests.support.turning import Follower, Turning, add

USERS = 6

asked: list[str] = []
"""The names of those whose bindings were asked, since the test looked last."""


class NotedBinding(Binding[Product]):
    """A binding that tells who is asked."""

    model = Product
    fields = ["id", "category"]
    ordering = ["id"]

    def get_queryset(self) -> QuerySet[Any]:
        asked.append(self.user.username)
        return super().get_queryset().filter(category__in=self.categories())

    def categories(self) -> Any:
        raise NotImplementedError


def told() -> list[str]:
    """Return who has been asked since this was called last."""
    names, asked[:] = sorted(asked), []
    return names


Followed = Callable[[type[Binding[Any]]], list[Follower]]
"""Has each user follow a binding."""


@pytest.fixture
def users(turning: Turning) -> list[User]:
    """Some users, each of them in a category of their own: the first in 1, with product 10."""
    for number in range(1, USERS + 1):
        Category.objects.get_or_create(pk=number, defaults={"name": "a"})
        if not Product.objects.filter(pk=10 * number).exists():
            add(10 * number, number)
    users = [User.objects.create(username=f"u{number}") for number in range(1, USERS + 1)]
    for number, user in enumerate(users, 1):
        Membership.objects.create(pk=number, user=user, category_id=number)
    return users


@pytest.fixture
def followed(turning: Turning, users: list[User], forget_bindings: None) -> Iterator[Followed]:
    """Have each user follow a binding, and forget what that took."""

    def follow(binding: type[Binding[Any]]) -> list[Follower]:
        registry.add(binding)
        followers = []
        for number, user in enumerate(users, 1):
            follower = Follower()
            ask = Ask(number=number, message=Subscribe(event=str(binding.event), params={}))
            turning.ask(SessionRequest(follower, Caller(user=user), ask))
            followers.append(follower)
        turning.turn()
        turning.turn()  # what was read to tell is watched from now on
        for follower in followers:
            follower.told()
        told()
        return followers

    yield follow
    told()


class ListedBinding(NotedBinding):
    event = "listed_members"

    def categories(self) -> Any:
        return list(Membership.objects.filter(user=self.user.pk).values_list("category", flat=True))


class TestRowsOfOneUser:
    def test_a_row_that_comes_has_its_user_asked_and_nobody_else(
        self, followed: Followed, users: list[User], turning: Turning
    ) -> None:
        followers = followed(ListedBinding)
        Membership.objects.create(pk=100, user=users[1], category_id=5)
        turning.turn()
        assert told() == ["u2"]
        assert 50 in followers[1].column("id")
        assert [f.told() for f in followers] == [[], ["create"], *[[]] * (USERS - 2)]

    def test_a_row_that_goes_has_the_user_asked_whose_it_was(
        self, followed: Followed, turning: Turning
    ) -> None:
        followers = followed(ListedBinding)
        Membership.objects.filter(pk=3).delete()
        turning.turn()
        assert told() == ["u3"]
        assert followers[2].column("id") == []

    def test_a_row_that_moves_has_both_users_asked(
        self, followed: Followed, users: list[User], turning: Turning
    ) -> None:
        followers = followed(ListedBinding)
        Membership.objects.filter(pk=1).update(user=users[3])
        turning.turn()
        assert told() == ["u1", "u4"]
        assert followers[0].column("id") == []
        assert 10 in followers[3].column("id")

    def test_a_row_that_moves_twice_between_two_turns_has_those_asked_that_it_left(
        self, followed: Followed, users: list[User], turning: Turning
    ) -> None:
        followers = followed(ListedBinding)
        Membership.objects.filter(pk=1).update(user=users[3])
        Membership.objects.filter(pk=1).update(user=users[4])
        turning.turn()
        assert {"u1", "u5"} <= set(told())
        assert followers[0].column("id") == []
        assert 10 in followers[4].column("id")

    def test_a_table_that_is_emptied_has_all_asked(
        self, followed: Followed, turning: Turning
    ) -> None:
        followers = followed(ListedBinding)
        with connections["default"].cursor() as cursor:
            is_postgresql = connections["default"].vendor == "postgresql"
            cursor.execute(f"{'TRUNCATE' if is_postgresql else 'DELETE FROM'} app_membership")
        turning.turn()
        assert told() == [f"u{number}" for number in range(1, USERS + 1)]
        assert all(f.column("id") == [] for f in followers)

    def test_what_is_written_while_nobody_takes_turns_is_found_as_well(
        self, followed: Followed, users: list[User], turning: Turning
    ) -> None:
        followers = followed(ListedBinding)
        for number in (1, 2):
            Membership.objects.filter(pk=number).update(category=6)
        Membership.objects.filter(pk=3).delete()
        turning.turn()
        assert told() == ["u1", "u2", "u3"]
        assert [f.column("id") for f in followers[:3]] == [[60], [60], []]

    def test_a_user_who_is_asked_again_is_found_by_what_was_read_then(
        self, followed: Followed, users: list[User], turning: Turning
    ) -> None:
        followers = followed(ListedBinding)
        for category in (2, 3, 4):
            Membership.objects.filter(pk=1).update(category=category)
            turning.turn()
            assert told() == ["u1"]
            assert 10 * category in followers[0].column("id")


class GroupsBinding(NotedBinding):
    event = "by_groups"

    def categories(self) -> Any:
        return [int(group.name) % 10 for group in self.user.groups.all()]


class ThroughGroupsBinding(NotedBinding):
    event = "through_groups"

    def categories(self) -> Any:
        groups = self.user.groups.all()
        found = Permission.objects.filter(group__in=groups).values_list("codename", flat=True)
        return [int(name) % 10 for name in found if name.isdigit()]


class TestManyToMany:
    @pytest.fixture
    def groups(self, users: list[User]) -> list[Group]:
        groups = [Group.objects.create(name=str(number)) for number in range(1, USERS + 1)]
        for user, group in zip(users, groups, strict=True):
            user.groups.add(group)
        return groups

    def test_who_joins_a_group_is_asked_alone(
        self, groups: list[Group], followed: Followed, users: list[User], turning: Turning
    ) -> None:
        followers = followed(GroupsBinding)
        users[0].groups.add(groups[4])
        turning.turn()
        assert told() == ["u1"]
        assert 50 in followers[0].column("id")

    def test_a_group_that_changes_has_its_members_asked(
        self, groups: list[Group], followed: Followed, users: list[User], turning: Turning
    ) -> None:
        users[1].groups.add(groups[0])
        followers = followed(GroupsBinding)
        Group.objects.filter(pk=groups[0].pk).update(name="16")
        turning.turn()
        assert told() == ["u1", "u2"]
        assert 60 in followers[0].column("id")
        assert 10 not in followers[0].column("id")

    def test_what_a_subquery_says_whose_it_wants_counts_as_well(
        self, groups: list[Group], followed: Followed, users: list[User], turning: Turning
    ) -> None:
        kind = Permission.objects.get(codename="view_product").content_type
        rights = [
            Permission.objects.create(codename=str(number), name="a", content_type=kind)
            for number in range(1, USERS + 1)
        ]
        for group, right in zip(groups, rights, strict=True):
            group.permissions.add(right)
        followers = followed(ThroughGroupsBinding)
        users[0].groups.remove(groups[0])
        turning.turn()
        assert told() == ["u1"]
        assert followers[0].column("id") == []
        groups[1].permissions.add(rights[4])
        turning.turn()
        assert told() == ["u2"]
        assert 50 in followers[1].column("id")
        groups[2].permissions.remove(rights[2])
        turning.turn()
        assert told() == ["u3"]
        assert followers[2].column("id") == []
        Permission.objects.filter(pk=rights[3].pk).update(codename="16")
        turning.turn()
        assert told() == ["u4"]
        assert 60 in followers[3].column("id")


class MayView(DjangoModelPermissions):
    perms_map = {**DjangoModelPermissions.perms_map, "GET": ["%(app_label)s.view_%(model_name)s"]}


class MayViewBinding(NotedBinding):
    event = "may_view"
    permission_classes = [MayView]

    def categories(self) -> Any:
        return [1]


class TestPermissions:
    def test_a_right_that_is_taken_away_has_its_user_asked_alone_and_ended(
        self, followed: Followed, users: list[User], turning: Turning
    ) -> None:
        right = Permission.objects.get(codename="view_product")
        for user in users:
            user.user_permissions.add(right)
        followers = followed(MayViewBinding)
        users[2].user_permissions.remove(right)
        turning.turn()
        assert [f.ended for f in followers] == [False, False, True, *[False] * (USERS - 3)]
        assert set(told()) == {"u3"}  # DRF's own looks at the queryset
        users[3].user_permissions.add(Permission.objects.get(codename="add_product"))
        turning.turn()
        assert set(told()) == {"u4"}

    def test_a_group_s_right_that_is_taken_away_ends_all_its_members(
        self, followed: Followed, users: list[User], turning: Turning
    ) -> None:
        right, group = Permission.objects.get(codename="view_product"), Group.objects.create()
        group.permissions.add(right)
        for user in users[:3]:
            user.groups.add(group)
        for user in users[3:]:
            user.user_permissions.add(right)
        followers = followed(MayViewBinding)
        group.permissions.remove(right)
        turning.turn()
        assert [f.ended for f in followers] == [True] * 3 + [False] * (USERS - 3)
        assert set(told()) == {"u1", "u2", "u3"}


class CountedBinding(NotedBinding):
    event = "counted"

    def categories(self) -> Any:
        return [Membership.objects.count()]


class CountedOfOneBinding(NotedBinding):
    """Names a user, whoever asks."""

    event = "counted_of_one"

    def categories(self) -> Any:
        first = User.objects.order_by("pk").values_list("pk", flat=True)[0]
        return [Membership.objects.filter(user=first).count()]


class OthersBinding(NotedBinding):
    event = "others"

    def categories(self) -> Any:
        own = Membership.objects.exclude(user=self.user.pk).values_list("category", flat=True)
        return list(own)


class OneOfTwoBinding(NotedBinding):
    """Reads the user's own rows, and then anybody's."""

    event = "one_of_two"

    def categories(self) -> Any:
        own = list(Membership.objects.filter(user=self.user.pk).values_list("category", flat=True))
        return [*own, Membership.objects.count()]


class RawBinding(NotedBinding):
    event = "raw_members"

    def categories(self) -> Any:
        with connections["default"].cursor() as cursor:
            cursor.execute(
                "SELECT category_id FROM app_membership WHERE user_id = %s", [self.user.pk]
            )
            return [category for (category,) in cursor.fetchall()]


class MostBinding(NotedBinding):
    """Ranks users: what one has read depends on all others' rows."""

    event = "most"

    def categories(self) -> Any:
        ranked = User.objects.annotate(n=Count("membership")).order_by("-n", "pk")
        return [1] if ranked[0].pk == self.user.pk else []


class TestAnybodysRows:
    @pytest.mark.parametrize(
        "binding",
        [CountedBinding, OthersBinding, OneOfTwoBinding, RawBinding, MostBinding],
        ids=lambda binding: binding.event,
    )
    def test_all_are_asked_where_the_sql_does_not_say_whose_rows_it_wants(
        self, binding: type[Binding[Any]], followed: Followed, users: list[User], turning: Turning
    ) -> None:
        followers = followed(binding)
        Membership.objects.create(pk=100, user=users[1], category_id=5)
        Membership.objects.create(pk=101, user=users[1], category_id=1)
        turning.turn()
        assert told() == [f"u{number}" for number in range(1, USERS + 1)]
        for user, follower in zip(users, followers, strict=True):
            seen = binding(user=user).get_queryset().values_list("pk", flat=True)
            assert follower.column("id") == sorted(seen)

    def test_whoever_reads_another_user_s_rows_is_asked_when_these_change(
        self, followed: Followed, users: list[User], turning: Turning
    ) -> None:
        followers = followed(CountedOfOneBinding)
        Membership.objects.create(pk=100, user=users[0], category_id=5)
        turning.turn()
        assert all(follower.column("id") == [20, 21] for follower in followers)


class Member(BasePermission):
    """Lets members of category 1 in."""

    def has_permission(self, request: Any, view: Any) -> bool:
        return Membership.objects.filter(user=request.user, category=1).exists()


class MembersOnlyBinding(NotedBinding):
    event = "members_only"
    permission_classes = [Member]

    def categories(self) -> Any:
        return [1]


def test_a_permission_s_own_reads_are_its_user_s_too(
    followed: Followed, users: list[User], turning: Turning
) -> None:
    Membership.objects.update(category=1)
    followers = followed(MembersOnlyBinding)
    Membership.objects.filter(user=users[1]).update(category=2)
    turning.turn()
    assert [f.ended for f in followers] == [False, True, *[False] * (USERS - 2)]
    assert told() == []
    Membership.objects.filter(user=users[2]).update(category=1)
    turning.turn()
    assert set(told()) <= {"u3"}


def test_all_are_asked_where_a_field_of_the_project_s_own_cannot_read_what_changed(
    followed: Followed,
    turning: Turning,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    followers = followed(ListedBinding)

    def fail(value: Any) -> Any:
        raise ArithmeticError

    monkeypatch.setattr(Membership._meta.get_field("user"), "to_python", fail)
    Membership.objects.filter(pk=3).delete()
    turning.turn()
    assert told() == [f"u{number}" for number in range(1, USERS + 1)]
    assert followers[2].column("id") == []


keep_out(globals())
