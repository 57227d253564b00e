"""Users in a database of their own: what changes there is noticed, though nothing tells of it."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import connections, router
from django.db.models import Q
from django.test import override_settings
from rest_framework.permissions import BasePermission, IsAdminUser, IsAuthenticated

from bindserver.bindings.binding import Binding
from bindserver.cycle.distant import Distant
from bindserver.cycle.inbox import Caller, SessionRequest, SnapshotRequest
from bindserver.engine.effects import Ask
from bindserver.engine.protocol import Code, Subscribe
from tests.app.models import Category
from tests.support.turning import Follower, Turning

PATIENCE_SECONDS = 60


class MayAdd(BasePermission):
    def has_permission(self, request: Any, view: Any) -> bool:
        return bool(request.user.has_perm("auth.add_user"))


class UsersAreElsewhere:
    """A project's router: users, groups and rights have a database of their own."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "users" if model._meta.app_label in ("auth", "contenttypes") else None

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return db == "users" if app_label in ("auth", "contenttypes") else db == "default"


@pytest.fixture
def users(
    database: Path, template: dict[bool, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """A database of users beside "default", which has none."""
    path = shutil.copy(template[False], tmp_path / "users.sqlite3")
    settings = {**connections.settings["default"], "NAME": str(path)}
    monkeypatch.setitem(connections.settings, "users", settings)
    monkeypatch.setattr(router, "routers", [*router.routers, UsersAreElsewhere()])
    with override_settings(BINDSERVER={"REVALIDATE_SECONDS": 0.01}):
        yield
    connections["users"].close()
    del connections["users"]


@pytest.fixture
def turning(users: None) -> Iterator[Turning]:
    Category.objects.create(pk=1, name="public")
    Category.objects.create(pk=2, name="secret")
    with Turning() as turning:
        yield turning


@pytest.fixture
def ann(users: None) -> User:
    return User.objects.create(username="ann", is_staff=True)


def follow(turning: Turning, user: User, *permissions: Any, **attributes: Any) -> Follower:
    """Subscribe as a user to all categories, by a binding with these permissions."""
    body = {"model": Category, "event": "distant", "fields": ["id", "name"], **attributes}
    type("Distant", (Binding,), body | {"permission_classes": permissions})
    follower = Follower()
    asked = Ask(number=1, message=Subscribe(event="distant", params={}))
    turning.ask(SessionRequest(follower, Caller(user=user), asked))
    turning.turn()
    assert follower.told() == ["sync"]
    return follower


def turn_until(turning: Turning, done: Any) -> None:
    """Take turns, though nobody writes to the bindings' database, until something is so."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not done():
        assert time.monotonic() < until
        turning.turn()


def assert_revoked(turning: Turning, follower: Follower) -> None:
    turn_until(turning, lambda: follower.ended)
    assert follower.ends[-1].code == Code.REVOKED


def test_who_is_no_more_staff_is_shown_the_door(turning: Turning, ann: User) -> None:
    follower = follow(turning, ann, IsAdminUser)
    User.objects.update(is_staff=False)
    assert_revoked(turning, follower)


def test_so_is_who_is_deactivated(turning: Turning, ann: User) -> None:
    follower = follow(turning, ann, IsAuthenticated)
    User.objects.update(is_active=False)
    assert_revoked(turning, follower)


def test_so_is_who_is_deleted(turning: Turning, ann: User) -> None:
    follower = follow(turning, ann, IsAuthenticated)
    ann.delete()
    assert_revoked(turning, follower)


def test_so_is_who_leaves_the_group_that_has_the_right(turning: Turning, ann: User) -> None:
    group = Group.objects.create(name="editors")
    group.permissions.add(Permission.objects.get(codename="add_user"))
    ann.groups.add(group)
    follower = follow(turning, ann, MayAdd)
    ann.groups.clear()
    assert_revoked(turning, follower)


def test_who_joins_a_group_is_sent_its_rows_and_loses_them_with_it(
    turning: Turning, ann: User
) -> None:
    def get_q(self: Any) -> Q:
        return Q() if self.user.groups.filter(name="insiders").exists() else Q(name="public")

    follower = follow(turning, ann, IsAuthenticated, get_q=get_q)
    assert follower.column("name") == ["public"]
    group = Group.objects.create(name="insiders")
    ann.groups.add(group)
    turn_until(turning, lambda: follower.column("name") == ["public", "secret"])
    group.delete()
    turn_until(turning, lambda: follower.column("name") == ["public"])
    assert not follower.ended


def test_what_has_not_changed_there_is_not_told(turning: Turning, ann: User) -> None:
    follower = follow(turning, ann, IsAdminUser)
    asked = turning.store.viewers.all()[0].asked
    for _ in range(5):
        time_of_next = turning.store.due()
        turn_until(turning, lambda due=time_of_next: turning.store.due() != due)
    assert turning.store.viewers.all()[0].asked == asked
    assert follower.told() == []


def test_a_cycle_wakes_for_it_by_itself(turning: Turning, ann: User) -> None:
    follow(turning, ann, IsAdminUser)
    assert turning.store.due() <= time.monotonic() + 0.01


def test_who_asks_over_http_is_told_by_groups_that_are_not_older_than_that(
    turning: Turning, ann: User
) -> None:
    def get_q(self: Any) -> Q:
        return Q() if self.user.groups.exists() else Q(name="public")

    body = {"model": Category, "event": "asked", "fields": ["id", "name"], "get_q": get_q}
    kind: Any = type("Asked", (Binding,), body | {"permission_classes": (IsAuthenticated,)})

    def names() -> int:
        request = SnapshotRequest(binding=kind, caller=Caller(user=ann), params={})
        turning.ask(request)
        turning.turn()
        return len(request.answer.result(PATIENCE_SECONDS).rows)

    assert names() == 1
    ann.groups.add(Group.objects.create(name="insiders"))
    turn_until(turning, lambda: names() == 2)


def test_users_of_the_bindings_own_database_cost_no_looks(database: Path) -> None:
    with Turning() as turning:
        follow(turning, User.objects.create(username="bob"), IsAuthenticated)
        assert turning.store.due() == math.inf


def test_the_one_that_was_asked_longest_ago_is_next() -> None:
    now = 0.0
    distant: Distant[Any] = Distant(lambda: now)
    one: Any = "one"
    two: Any = "two"
    with override_settings(BINDSERVER={"REVALIDATE_SECONDS": 10}):
        assert distant.due() == math.inf
        distant.put(one)
        now = 4.0
        distant.put(two)
        assert distant.ring(9.9) == {}
        assert distant.due() == 10
        assert list(distant.ring(10)) == [one]
        distant.put(one)
        distant.drop(two)
        assert distant.due() == 14
