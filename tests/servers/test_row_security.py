"""A table that row-level security shows the server in part is served to nobody."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.db.models import QuerySet
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext

from bindserver import Binding
from bindserver.bindings.registry import registry
from bindserver.cycle.inbox import Caller
from bindserver.database import row_security
from bindserver.database.row_security import RowSecurity, tables_by_row
from bindserver.exceptions import Unsound
from bindserver.hub.hub import hub
from tests.app.models import Category, Product
from tests.databases.capture.test_sessions import ROW_SECURITY, say
from tests.servers.test_servers import ws
from tests.servers.test_soundness import SERVERS, assert_logged, server_of
from tests.support.default import as_default
from tests.support.logs import logged
from tests.support.talk import talking


class Served(Binding[Product]):
    model = Product
    event = "served_by_row"
    fields = ("id", "name")


class Joined(Binding[Category]):
    """Looks at products, which are not its own rows."""

    model = Category
    event = "joined_by_row"
    fields = ("id",)

    def get_queryset(self) -> QuerySet[Any]:
        return Category.objects.filter(pk__in=Product.objects.values("stock"))


class Own(Binding[Product]):
    """Python's alone."""

    model = Product


@pytest.fixture
def secured(postgresql_database: str) -> Iterator[str]:
    """The URL by which the server is a role that sees some products only."""
    say("DROP ROLE IF EXISTS clerk", *ROW_SECURITY)
    say("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO clerk")
    user, _, rest = postgresql_database.partition("://")[2].partition("@")
    yield postgresql_database.replace(f"//{user}@{rest}", f"//clerk@{rest}")
    hub.stop()
    say("DROP OWNED BY clerk", "DROP ROLE clerk")


@pytest.fixture
def by_clerk(secured: str, django_db_blocker: Any) -> Iterator[None]:
    own: list[type[Binding[Any]]] = [Served, Joined]
    for binding in set(own) - set(registry.all()):
        registry.add(binding)
    with as_default(secured, django_db_blocker):
        yield
        hub.stop()
    for binding in own:
        registry.remove(binding)


def asked(binding: type[Binding[Any]]) -> BaseException | None:
    return hub.snapshot(binding, Caller(), {}).exception(timeout=60)


@pytest.mark.usefixtures("by_clerk")
class TestAServersRoleThatIsShownSomeRowsOnly:
    @pytest.mark.parametrize("binding", [Served, Joined])
    def test_serves_nothing_that_reads_the_table(
        self, binding: type[Binding[Any]], caplog: pytest.LogCaptureFixture
    ) -> None:
        problems = [asked(binding) for _ in range(2)]
        assert [type(problem) for problem in problems] == [Unsound, Unsound]
        lines = logged(caplog, logging.ERROR)
        assert len(lines) == 1, lines
        assert "is not served: (bindserver.E052)" in lines[0]
        assert str(problems[0]).rpartition(" ")[2] in lines[0]
        assert "Traceback" not in lines[0]
        assert "app_product" not in str(problems[0])

    def test_tells_the_reason_in_debug_mode(self) -> None:
        with override_settings(DEBUG=True):
            assert "E052" in str(asked(Served))

    def test_is_500_over_http_and_left_out_of_the_list(self) -> None:
        answer = Client().get("/bindings/served_by_row/", HTTP_ACCEPT="application/json")
        assert answer.status_code == 500
        assert "refuses to serve this binding; reference" in answer.json()["detail"]
        listed = Client().get("/bindings/", HTTP_ACCEPT="application/json").json()
        assert "served_by_row" not in {entry["event"] for entry in listed}

    def test_leaves_python_to_its_own_connection(self) -> None:
        assert [row.name for row in Own().all()] == []
        assert [row.name for row in Served().all()] == []


def test_a_policy_that_comes_while_a_binding_is_served_ends_its_serving(
    postgresql_database: str, django_db_blocker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that goes has it served again."""
    monkeypatch.setattr(row_security, "LOOK_SECONDS", 0.0)
    enable = ROW_SECURITY[3:]
    say("DROP ROLE IF EXISTS clerk", *ROW_SECURITY[:3])
    say("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO clerk")
    user, _, rest = postgresql_database.partition("://")[2].partition("@")
    registry.add(Served) if Served not in registry.all() else None
    with as_default(
        postgresql_database.replace(f"//{user}@{rest}", f"//clerk@{rest}"), django_db_blocker
    ):
        assert asked(Served) is None
        superuser = connections["default"].copy()
        superuser.settings_dict = {**superuser.settings_dict, "USER": user}
        with superuser.cursor() as cursor:
            for statement in enable:
                cursor.execute(statement)
            assert isinstance(asked(Served), Unsound)
            cursor.execute("ALTER TABLE app_product DISABLE ROW LEVEL SECURITY")
            until = time.monotonic() + 60
            while asked(Served) is not None:  # it is tried again after half a second
                assert time.monotonic() < until
                time.sleep(0.05)
        superuser.close()
        hub.stop()
    registry.remove(Served)
    say("DROP OWNED BY clerk", "DROP ROLE clerk")


def test_the_database_is_asked_once_a_second_at_most(secured: str) -> None:
    watch = RowSecurity(connections["default"])
    with CaptureQueriesContext(connections["default"]) as queries:
        for _ in range(100):
            watch.tables()
    assert len(queries) == 1


def test_a_table_of_another_schema_is_told_from_one_of_ours(secured: str) -> None:
    say(
        "CREATE SCHEMA other",
        "CREATE TABLE other.app_tag (id int)",
        "ALTER TABLE other.app_tag ENABLE ROW LEVEL SECURITY",
        "GRANT USAGE ON SCHEMA other TO clerk",
        "SET ROLE clerk",
    )
    found = tables_by_row(connections["default"])
    say("RESET ROLE")
    assert {"app_product", 'other"."app_tag'} <= found
    assert "app_tag" not in found


@pytest.mark.parametrize("server", SERVERS)
async def test_no_server_serves_it(
    server: str, secured: str, template: dict[bool, Path], tmp_path: Path
) -> None:
    process = server_of(SERVERS[server], tmp_path, template[True], DATABASE_URL=secured)
    try:
        await asyncio.to_thread(process.start)
        async with talking(ws(process)) as talk:
            await talk.say("good", ref=1)
            told = await talk.hear_data("good")
            assert told["payload"]["code"] == "internal"
            assert_logged(told["payload"]["detail"], "E052", process.log)
        status, text = await asyncio.to_thread(process.get, "bindings/good/")
        assert status == 500
        assert_logged(json.loads(text)["detail"], "E052", process.log)
    finally:
        process.kill()
