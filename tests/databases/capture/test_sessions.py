"""Whether a caller's own connection means something else by a query than the server's does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.db.backends.postgresql.base import DatabaseWrapper as PostgreSQL
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from psycopg import sql

from bindserver import Binding
from bindserver.bindings.registry import registry
from bindserver.database.sessions import stands_elsewhere, switcher_of
from bindserver.database.uncommitted import watch_writes
from bindserver.hub.hub import hub
from tests.app.bindings import ProductBinding
from tests.app.models import Product
from tests.support.default import as_default


def say(*statements: Any) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


TENANTS = (
    "CREATE SCHEMA acme",
    "CREATE TABLE acme.app_product (LIKE app_product INCLUDING ALL)",
    "INSERT INTO app_product (id, name, price, stock, active) VALUES (1, 'public', 1, 1, true)",
    "INSERT INTO acme.app_product (id, name, price, stock, active) VALUES (2, 'acme', 1, 1, true)",
)
ROW_SECURITY = (
    "CREATE ROLE clerk LOGIN",
    "GRANT ALL ON ALL TABLES IN SCHEMA public TO clerk",
    "GRANT ALL ON SCHEMA public TO clerk",
    "ALTER TABLE app_product ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY own ON app_product USING (name = current_setting('app.tenant', true))",
)


def names() -> list[str]:
    return [row.name for row in ProductBinding().all()]


def listed() -> list[str]:
    answer = Client().get("/bindings/products/", HTTP_ACCEPT="application/json")
    assert answer.status_code == 200, answer.content
    return [row["name"] for row in answer.json()]


@pytest.fixture
def tenants(postgresql_database: str) -> Iterator[None]:
    """A table of products in two schemas; the server's own connections are in the public one."""
    say(*TENANTS)
    assert names() == listed() == ["public"]
    assert not stands_elsewhere("default")
    yield
    hub.stop()


@pytest.mark.usefixtures("tenants")
class TestOnPostgreSQL:
    @pytest.mark.parametrize(
        "switch",
        [
            "SET search_path TO acme, public",
            "SET SESSION search_path = acme",
            "SET LOCAL statement_timeout = 0; set search_path = acme",
            "SELECT set_config('search_path', 'acme', false)",
            sql.SQL("SET search_path TO {}").format(sql.Identifier("acme")),
        ],
    )
    def test_a_session_in_another_schema_is_given_that_schema_s_rows(self, switch: Any) -> None:
        say(switch)
        assert names() == ["acme"]
        assert listed() == ["acme"]
        connection.close()
        assert names() == listed() == ["public"]

    def test_so_is_one_for_a_transaction(self) -> None:
        with transaction.atomic():
            say("SET LOCAL search_path TO acme")
            assert names() == ["acme"]
        assert names() == ["public"]

    def test_so_is_one_that_was_switched_past_django(self) -> None:
        connection.ensure_connection()
        connection.connection.execute("SET search_path TO acme")
        assert names() == listed() == ["acme"]
        connection.connection.execute("RESET search_path")
        assert names() == listed() == ["public"]

    def test_so_is_one_that_a_function_has_switched(self) -> None:
        say(
            "CREATE FUNCTION enter() RETURNS text LANGUAGE SQL AS "
            "$$ SELECT pg_catalog.set_config('search_path', 'acme', false) $$"
        )
        connection.close()
        say("SELECT enter()")
        assert names() == listed() == ["acme"]

    def test_a_cursor_is_given_for_the_server_s_own_rows_alone(self) -> None:
        assert "Bindserver-Cursor" in Client().get("/bindings/products/").headers
        say("SET search_path TO acme")
        answer = Client().get("/bindings/products/")
        assert "Bindserver-Cursor" not in answer.headers
        assert "ETag" in answer.headers

    def test_a_session_in_another_role_asks_itself(self) -> None:
        say("DROP ROLE IF EXISTS clerk", *ROW_SECURITY)
        with transaction.atomic():
            say("SET LOCAL ROLE clerk", "SELECT set_config('app.tenant', 'nobody', true)")
            assert names() == []
        assert names() == ["public"]
        say("DROP OWNED BY clerk", "DROP ROLE clerk")

    def test_what_changes_no_rows_is_let_pass(self) -> None:
        connection.close()
        with transaction.atomic():
            say(
                "SET CONSTRAINTS ALL DEFERRED",
                "SET LOCAL statement_timeout = 1000",
                "SET TRANSACTION READ ONLY",
                "SELECT set_config('work_mem', '8MB', true)",
                "SET LOCAL enable_seqscan = off",
            )
            assert not stands_elsewhere("default")

    def test_the_question_is_none_of_the_project_s_queries(self) -> None:
        connection.ensure_connection()
        with CaptureQueriesContext(connection) as queries:
            assert not stands_elsewhere("default")
            assert len(queries) == 0

    def test_nothing_is_asked_on_a_connection_that_is_not_open(self) -> None:
        connection.close()
        assert not stands_elsewhere("default")
        assert connection.connection is None

    def test_each_thread_s_rows_are_its_own_with_row_level_security(
        self, postgresql_database: str, django_db_blocker: Any
    ) -> None:
        say("DROP ROLE IF EXISTS clerk", *ROW_SECURITY)
        user, _, rest = postgresql_database.partition("://")[2].partition("@")
        url = postgresql_database.replace(f"//{user}@{rest}", f"//clerk@{rest}")
        with as_default(url, django_db_blocker):
            watch_writes()
            say(
                "CREATE FUNCTION let_in(name text) RETURNS text LANGUAGE SQL AS "
                "$$ SELECT pg_catalog.set_config('app.tenant', name, false) $$"
            )
            assert stands_elsewhere("default")
            connection.connection.execute("SELECT let_in('public')")  # past every watch
            assert names() == ["public"]
            connection.connection.execute("SELECT let_in('other')")
            assert names() == []
            hub.stop()
            connection.close()
        say("DROP OWNED BY clerk", "DROP ROLE clerk")


class ByName(Binding[Product]):
    model = Product
    event = "by_name"
    fields = ["id", "name"]
    params = {"q": str}
    permission_classes = []

    def filters(self) -> dict[str, Any]:
        return {"name__regex": self.params["q"]}


def test_a_value_that_the_database_refuses_is_400_on_such_a_connection_too(tenants: None) -> None:
    try:
        say("SET search_path TO acme")
        answer = Client().get("/bindings/by_name/?q=(", HTTP_ACCEPT="application/json")
        assert answer.status_code == 400
        assert answer.json()["code"] == "invalid_params"
        assert Client().get("/bindings/by_name/?q=a").json() == [{"id": 2, "name": "acme"}]
    finally:
        registry.remove(ByName)


class Switching(PostgreSQL):
    """A backend of the kind that tenants' schemas are switched by: before each statement."""

    schema_name = "public"

    def set_schema(self, name: str) -> None:
        self.schema_name = name

    def _cursor(self, name: str | None = None) -> Any:
        cursor = super()._cursor(name)  # type: ignore[misc]  # types leave it out
        with self.connection.cursor() as raw:
            raw.execute(f"SET search_path = {self.schema_name}")
        return cursor


class Quiet(Switching):
    """One that none of its names gives away."""

    def __getattribute__(self, name: str) -> Any:
        if name in ("set_schema", "schema_name"):
            raise AttributeError(name)
        return super().__getattribute__(name)


@pytest.fixture
def switching(tenants: None) -> Iterator[Callable[[], Switching]]:
    usual = connections["default"]
    own = Switching(usual.settings_dict, "default")
    connections["default"] = own
    yield lambda: own
    own.close()
    connections["default"] = usual


def test_a_backend_that_switches_schemas_is_asked_itself(
    switching: Callable[[], Switching],
) -> None:
    assert switcher_of("default") == "backend django.db.backends.postgresql"
    assert names() == ["public"]
    switching().set_schema("acme")
    assert names() == listed() == ["acme"]
    switching().set_schema("public")
    assert names() == listed() == ["public"]


class TenantSyncRouter:
    """As django-tenants' is called."""


def test_a_router_of_tenants_is_one_that_switches(tenants: None) -> None:
    assert switcher_of("default") is None
    with override_settings(DATABASE_ROUTERS=[f"{__name__}.TenantSyncRouter"]):
        assert switcher_of("default") == f"router {__name__}.TenantSyncRouter"
        assert stands_elsewhere("default")


@pytest.mark.usefixtures("on_own_maria")
class TestOnMariaDB:
    @pytest.fixture(autouse=True)
    def _stopped(self) -> Iterator[None]:
        yield
        hub.stop()

    def test_a_session_in_another_database_asks_itself(self) -> None:
        here = connection.settings_dict["NAME"]
        Product.objects.create(name="here", price=1)
        say("DROP DATABASE IF EXISTS acme", "CREATE DATABASE acme")
        say("CREATE TABLE acme.app_product LIKE app_product")
        assert names() == ["here"]
        assert not stands_elsewhere("default")
        say("USE acme")
        assert stands_elsewhere("default")
        assert names() == []
        connection.close()
        assert names() == ["here"]
        connection.ensure_connection()
        connection.connection.select_db("acme")  # past Django
        assert names() == []
        connection.connection.select_db(here)
        assert names() == ["here"]
        say("DROP DATABASE acme")


@pytest.mark.usefixtures("database")
def test_on_sqlite_what_was_attached_or_made_for_a_session_counts() -> None:
    connection.ensure_connection()
    assert not stands_elsewhere("default")
    say("CREATE TEMP TABLE app_product AS SELECT * FROM main.app_product")
    assert stands_elsewhere("default")
    connection.close()
    assert not stands_elsewhere("default")
