"""Bindings in one database, users in another; and users that were read from a replica."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dj_database_url
import pytest
from django.contrib.auth.models import Permission, User
from django.db import connections, router
from pytest_django import DjangoDbBlocker
from rest_framework.permissions import BasePermission

from bindserver.bindings.binding import Binding
from bindserver.cycle.inbox import Caller, SessionRequest
from bindserver.database.snapshot import SnapshotRouter, reading_from
from bindserver.engine.effects import Ask
from bindserver.engine.protocol import Subscribe
from bindserver.hub.hub import Hub
from tests.app.models import Category
from tests.support.postgresql import Cluster
from tests.support.sqlite import SQLiteProgram
from tests.support.turning import Follower, Turning


class MayAdd(BasePermission):
    def has_permission(self, request: Any, view: Any) -> bool:
        return bool(request.user.has_perm("auth.add_user"))


class IsSomebody(BasePermission):
    def has_permission(self, request: Any, view: Any) -> bool:
        return bool(request.user.is_authenticated)


@pytest.fixture
def guarded(forget_bindings: None) -> type[Binding[Category]]:
    class Guarded(Binding[Category]):
        model = Category
        event = "far_away"
        fields = ["id", "name"]
        permission_classes = [MayAdd]

    return Guarded


@pytest.fixture
def for_anybody(guarded: type[Binding[Category]]) -> type[Binding[Category]]:
    guarded.permission_classes = [IsSomebody]
    return guarded


@pytest.fixture
def second(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The settings of another database, named "users"; a test fills them."""
    settings = dict(connections.settings["default"])
    monkeypatch.setitem(connections.settings, "users", settings)
    yield settings
    connections["users"].close()
    del connections["users"]


class UsersAreElsewhere:
    """A project's router: users and their rights have a database of their own."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "users" if model._meta.app_label == "auth" else None

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return db == "users" if app_label == "auth" else None


class ReadsFromReplica:
    """A project's router: all is written to "default", and read from its replica."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "users"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "default"

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db == "default"


class TestUsersInAnotherDatabase:
    @pytest.fixture
    def user(
        self,
        database: Path,
        second: dict[str, Any],
        postgresql: Cluster,
        postgresql_templates: dict[bool, str],
        django_db_blocker: DjangoDbBlocker,
        monkeypatch: pytest.MonkeyPatch,
    ) -> Iterator[User]:
        """Somebody who may, in a database on PostgreSQL; the bindings' own knows no users."""
        name = postgresql.make_database(postgresql_templates[False])
        url = postgresql.url(name)
        second.update(dj_database_url.parse(url), OPTIONS={}, CONN_MAX_AGE=None)
        program = SQLiteProgram(database)
        program.run("PRAGMA foreign_keys = OFF")
        for table in ("auth_user_user_permissions", "auth_permission", "auth_user"):
            program.run(f"DROP TABLE {table}")
        program.close()
        monkeypatch.setattr(router, "routers", [*router.routers, UsersAreElsewhere()])
        user = User.objects.create(username="ann")
        user.user_permissions.add(Permission.objects.get(codename="add_user"))
        yield user
        connections["users"].close()

    @pytest.fixture
    def hub(self) -> Iterator[Hub]:
        hub = Hub()
        yield hub
        hub.stop()

    def test_their_rights_are_read_there(
        self, user: User, guarded: type[Binding[Category]], hub: Hub
    ) -> None:
        Category.objects.create(pk=1, name="a")
        assert list(hub.snapshot(guarded, Caller(user=user), {}).result(10).rows) == [1]

    def test_a_connection_there_that_was_lost_is_made_anew(
        self, user: User, guarded: type[Binding[Category]], hub: Hub
    ) -> None:
        asked = Caller(user=user)
        hub.snapshot(guarded, asked, {}).result(10)
        with connections["users"].cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        results = []
        for name in ("b", "c"):
            other = User.objects.create(username=name, is_superuser=True)
            future = hub.snapshot(guarded, Caller(user=other), {})
            results.append(future.exception(10))
        assert results[-1] is None


class TestUsersReadFromAReplica:
    @pytest.fixture
    def turning(
        self, database: Path, second: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[Turning]:
        second["NAME"] = str(database)
        monkeypatch.setattr(router, "routers", [*router.routers, ReadsFromReplica()])
        with Turning() as turning:
            yield turning

    def test_who_is_deactivated_is_nobody_in_the_same_turn(
        self, turning: Turning, for_anybody: type[Binding[Category]], database: Path
    ) -> None:
        program = SQLiteProgram(database)
        program.run(
            "INSERT INTO auth_user (id, username, password, first_name, last_name, email, "
            "is_active, is_staff, is_superuser, date_joined) "
            "VALUES (1, 'ann', '', '', '', '', 1, 0, 0, '2026-01-01')"
        )
        user = User.objects.get(pk=1)
        assert user._state.db == "users"
        follower = Follower()
        message = Subscribe(event="far_away", params={})
        turning.ask(SessionRequest(follower, Caller(user=user), Ask(number=1, message=message)))
        turning.turn()
        assert follower.told() == ["sync"]
        program.run("UPDATE auth_user SET is_active = 0")
        program.close()
        turning.turn()
        assert follower.ended


@pytest.mark.parametrize("alias", ["users", "default"])
def test_what_a_binding_of_a_replica_or_a_second_name_reads_stays_in_its_snapshot(
    alias: str, second: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(router, "routers", [SnapshotRouter(), ReadsFromReplica()])
    assert router.db_for_read(Category) == "users"
    with reading_from(alias):
        assert router.db_for_read(Category) == alias
    monkeypatch.setattr(ReadsFromReplica, "db_for_read", lambda *_, **__: "default")
    with reading_from(alias):
        assert router.db_for_read(Category) == alias
