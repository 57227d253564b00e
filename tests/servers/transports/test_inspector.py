"""The inspector: who may follow it, what it tells, and that it tells nobody's rows."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest

from tests.conftest import MakeServer, program_on
from tests.servers.transports.test_identity import add_token, prove
from tests.support.process import get
from tests.support.program import Program
from tests.support.server import Server
from tests.support.talk import Following, Talk, talking

EVENT = "bindserver.inspector"
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def staff(program: Program) -> dict[str, str]:
    """Ann (1), a member of staff who may view nothing, and two products; her headers."""
    headers = program.log_in("ann")
    program.run("UPDATE auth_user SET is_staff = TRUE")
    program.add_products(2)
    return headers


async def follow(talk: Talk, table: str, **params: Any) -> Following:
    return await talk.follow(EVENT, params={"table": table, **params})


async def refusal(talk: Talk, **params: Any) -> tuple[str, str]:
    """Return code and words of the refusal of a table or a question."""
    await talk.say(EVENT, params=params)
    await talk.hear()
    await talk.until(lambda: talk.heard[-1]["data"].get("action") == "error")
    payload = talk.heard[-1]["data"]["payload"]
    return payload["code"], payload["detail"]


def row(following: Following, **wanted: Any) -> dict[str, Any]:
    """Return the one row that has these values."""
    (found,) = (row for row in following.replica.rows if wanted.items() <= row.items())
    return dict(found)


def let_view(program: Program, model: str, user: int = 1) -> None:
    """Give a user the permission to view a model of the tests' app."""
    program.run(
        "INSERT INTO auth_user_user_permissions (user_id, permission_id) "
        "SELECT ?, id FROM auth_permission WHERE codename = ?",
        user,
        f"view_{model}",
    )


class TestWhoMaySeeIt:
    async def test_nobody_is_told_to_log_in(self, server: Server, staff: dict[str, str]) -> None:
        async with talking(server.ws) as talk:
            code, _ = await refusal(talk, table="views")
            assert code == "unauthenticated"

    async def test_a_user_who_is_no_staff_is_refused(
        self, server: Server, program: Program
    ) -> None:
        async with talking(server.ws, program.log_in("bob")) as talk:
            code, said = await refusal(talk, table="views")
            assert code == "forbidden"
            assert "staff" in said

    async def test_staff_that_is_not_active_is_refused(
        self, server: Server, program: Program, staff: dict[str, str]
    ) -> None:
        key = add_token(program, 1)
        async with talking(server.ws) as talk:
            await prove(talk, key)
            await follow(talk, "views")
        program.run("UPDATE auth_user SET is_active = FALSE")
        async with talking(server.ws, staff) as talk:
            assert (await refusal(talk, table="views"))[0] == "unauthenticated"

    async def test_who_is_staff_no_more_is_cut_off(self, make_server: MakeServer) -> None:
        with make_server(REVALIDATE_SECONDS=0.2) as server:
            program = program_on(server)
            headers = program.log_in("ann")
            program.run("UPDATE auth_user SET is_staff = TRUE")
            async with talking(server.ws, headers) as talk:
                await follow(talk, "processes")
                program.run("UPDATE auth_user SET is_staff = FALSE")
                await talk.until(lambda: talk.heard[-1]["data"].get("action") == "disconnect")
                assert talk.heard[-1]["data"]["code"] == "revoked"

    async def test_who_a_setting_allows_may_see_it_until_it_does_not(
        self, make_server: MakeServer
    ) -> None:
        allow = "tests.app.views.is_in_a_group"
        with make_server(REVALIDATE_SECONDS=0.2, INSPECTOR_ALLOW=allow) as server:
            program = program_on(server)
            headers = program.log_in("ann")
            async with talking(server.ws, headers) as talk:
                assert (await refusal(talk, table="views"))[0] == "forbidden"
                program.run("INSERT INTO auth_group (id, name) VALUES (1, 'watch')")
                program.run("INSERT INTO auth_user_groups (user_id, group_id) VALUES (1, 1)")
                await follow(talk, "processes")
                program.run("DELETE FROM auth_user_groups")
                await talk.until(lambda: talk.heard[-1]["data"].get("action") == "disconnect")

    async def test_where_its_urls_are_not_included_there_is_no_such_event(
        self, make_server: MakeServer
    ) -> None:
        with make_server(environment={"ROOT_URLCONF": "bindserver.urls"}) as server:
            program = program_on(server)
            headers = program.log_in("ann")
            program.run("UPDATE auth_user SET is_staff = TRUE")
            async with talking(server.ws, headers) as talk:
                code, said = await refusal(talk, table="views")
                assert (code, said) == ("unknown_event", f"no binding has the event '{EVENT}'")

    async def test_it_is_in_no_catalogue_and_has_no_snapshot(
        self, server: Server, staff: dict[str, str]
    ) -> None:
        status, text = get(server.http, **staff)
        assert status == 200
        assert "inspector" not in text
        assert get(f"{server.http}{EVENT}/", **staff)[0] == 404


class TestWhatItTells:
    async def test_views_are_told_with_what_they_have_and_who_follows(
        self, server: Server, program: Program, staff: dict[str, str]
    ) -> None:
        async with talking(server.ws, staff) as talk, talking(server.ws) as other:
            await other.follow("catalogue", params={"q": HOSTILE})
            views = await follow(talk, "views", search="onerror")
            (found,) = views.replica.rows
            assert (found["name"], found["state"], found["followers"]) == ("catalogue", "ready", 1)
            assert json.loads(found["params"]) == {"q": HOSTILE}
            await other.socket.close()
            await talk.until(lambda: row(views, name="catalogue")["followers"] == 0)
            assert "update" in views.actions

    async def test_what_stays_is_not_told_again(
        self, server: Server, staff: dict[str, str]
    ) -> None:
        async with talking(server.ws, staff) as talk, talking(server.ws) as other:
            connections = await follow(talk, "bindings")
            await other.follow("products")
            await talk.until(lambda: row(connections, id="products")["subscriptions"] == 1)
            assert connections.actions == ["sync", "update"]

    async def test_processes_and_databases_are_told(
        self, server: Server, staff: dict[str, str]
    ) -> None:
        async with talking(server.ws, staff) as talk:
            await talk.follow("products")
            processes = await follow(talk, "processes")
            found = row(processes, id=server.pid)
            assert (found["here"], found["shares"], found["subscriptions"]) == (True, False, 1)
            databases = await follow(talk, "databases")
            found = row(databases, id="default")
            assert (found["capture"], found["up"], found["troubles"]) == ("log", True, [])

    async def test_a_connection_is_told_with_its_user_s_key_and_no_name(
        self, server: Server, staff: dict[str, str]
    ) -> None:
        async with talking(server.ws, staff) as talk:
            connections = await follow(talk, "connections", search="127.0.0.1")
            assert row(connections, user="1")["lazy"] is False
            assert "ann" not in json.dumps(talk.heard)

    async def test_workers_that_share_metrics_are_told_of(self, make_server: MakeServer) -> None:
        with make_server(workers=2, METRICS_ALLOW=["127.0.0.1"]) as server:
            program = program_on(server)
            headers = program.log_in("ann")
            program.run("UPDATE auth_user SET is_staff = TRUE")
            async with talking(server.ws, headers) as talk:
                processes = await follow(talk, "processes")
                await talk.until(lambda: len(processes.replica.rows) == 2)
                assert sorted(processes.column("here")) == [False, True]

    async def test_no_key_of_a_session_no_token_and_no_row_is_told(
        self, server: Server, program: Program, staff: dict[str, str]
    ) -> None:
        key = add_token(program, 1)
        async with talking(server.ws, staff) as talk:
            await prove(talk, key)
            await talk.follow("products")
            said = len(talk.heard)
            for table in ("processes", "databases", "bindings", "views", "connections"):
                await follow(talk, table)
            told = json.dumps(talk.heard[said:])
            session = staff["Cookie"].partition("=")[2]
            assert key not in told
            assert session not in told
            assert "product 1" not in told

    async def test_params_that_ask_for_nothing_are_refused(
        self, server: Server, staff: dict[str, str]
    ) -> None:
        async with talking(server.ws, staff) as talk:
            for params in ({}, {"table": "secrets"}, {"table": "views", "by": HOSTILE}):
                assert (await refusal(talk, **params))[0] == "invalid_params"
            assert (await refusal(talk, table="views", search="x" * 101))[0] == "invalid_params"

    async def test_who_leaves_is_told_and_may_come_back(
        self, server: Server, staff: dict[str, str]
    ) -> None:
        async with talking(server.ws, staff) as talk:
            await follow(talk, "processes")
            await talk.say(EVENT, params={"table": "processes"}, disconnect=True)
            await talk.until(lambda: talk.heard[-1]["data"].get("action") == "disconnect")
            assert (await follow(talk, "processes")).actions == ["sync"]


class TestQuestions:
    async def id_of(self, talk: Talk, event: str) -> str:
        views = await follow(talk, "views", search=event)
        return str(row(views, name=event)["id"])

    async def test_why_a_row_is_out_is_told_to_who_may_view_it(
        self, server: Server, program: Program, staff: dict[str, str]
    ) -> None:
        let_view(program, "product")
        program.run("UPDATE app_product SET active = FALSE WHERE id = 2")
        async with talking(server.ws, staff) as talk:
            await talk.follow("products")
            view = await self.id_of(talk, "products")
            told = await follow(talk, "why", view=view, row="2")
            assert row(told, id="verdict")["text"] == "row 2 is out: it fails one condition"
            failed = row(told, holds=False)
            assert (failed["text"], failed["found"]) == ("active = True", ["False"])
            assert "active" in failed["sql"]
            assert row(told, id="view")["text"] == "the view does not show it"
            assert "inserted or updated" in row(told, id="written")["text"]
            assert "of the change log" in row(told, id="written")["text"]
            told = await follow(talk, "why", view=view, row="1")
            assert row(told, id="verdict")["in"] is True

    async def test_rows_of_a_model_that_staff_may_not_view_are_not_told(
        self, server: Server, program: Program, staff: dict[str, str]
    ) -> None:
        async with talking(server.ws, staff) as talk:
            await talk.follow("products")
            view = await self.id_of(talk, "products")
            code, said = await refusal(talk, table="why", view=view, row="1")
            assert code == "forbidden"
            assert "app.Product" in said

    async def test_values_of_another_model_are_hidden_from_who_may_not_view_it(
        self, server: Server, program: Program, staff: dict[str, str]
    ) -> None:
        let_view(program, "product")
        program.run("INSERT INTO app_category (id, name) VALUES (1, 'secret name')")
        program.run("UPDATE app_product SET category_id = 1")
        async with talking(server.ws, staff) as talk:
            await talk.follow("of_category", params={"name": "hush"})
            view = await self.id_of(talk, "of_category")
            told = await follow(talk, "why", view=view, row="1")
            failed = row(told, holds=False)
            assert failed["text"] == "category__name = …"
            assert (failed["found"], failed["hidden"]) == ([], "app.Category")
            assert "secret name" not in json.dumps(talk.heard)
            let_view(program, "category")
            told = await follow(talk, "why", view=view, row="1", time=1)
            failed = row(told, holds=False)
            assert failed["text"] == "category__name = 'hush'"
            assert failed["found"] == ["'secret name'"]

    async def test_a_row_that_is_not_there_was_deleted(
        self, server: Server, program: Program, staff: dict[str, str]
    ) -> None:
        let_view(program, "product")
        program.run("DELETE FROM app_product WHERE id = 2")
        async with talking(server.ws, staff) as talk:
            await talk.follow("products")
            view = await self.id_of(talk, "products")
            told = await follow(talk, "why", view=view, row="2")
            assert "no such row in app_product" in row(told, id="verdict")["text"]
            assert "deleted" in row(told, id="written")["text"]

    async def test_a_limit_has_the_rank_told(
        self, server: Server, program: Program, staff: dict[str, str]
    ) -> None:
        let_view(program, "product")
        program.add_products(4, first=3)
        async with talking(server.ws, staff) as talk:
            await talk.follow("cheapest")
            view = await self.id_of(talk, "cheapest")
            told = await follow(talk, "why", view=view, row="4")
            assert row(told, id="verdict")["text"] == (
                "row 4 is out: it is number 4 in order, and rows 1 to 3 are shown"
            )

    async def test_a_text_that_is_no_key_and_a_view_that_is_gone_are_refused(
        self, server: Server, program: Program, staff: dict[str, str]
    ) -> None:
        let_view(program, "product")
        async with talking(server.ws, staff) as talk:
            await talk.follow("products")
            view = await self.id_of(talk, "products")
            code, said = await refusal(talk, table="why", view=view, row=HOSTILE)
            assert (code, "no primary key" in said) == ("invalid_params", True)
            code, said = await refusal(talk, table="why", view="default-999999", row="1")
            assert (code, "no such view" in said) == ("unknown_event", True)

    async def test_how_a_view_is_kept_is_told(
        self, server: Server, program: Program, staff: dict[str, str]
    ) -> None:
        let_view(program, "product")
        async with talking(server.ws, staff) as talk:
            await talk.follow("products")
            view = await self.id_of(talk, "products")
            told = await follow(talk, "explain", view=view)
            assert row(told, id="read")["text"].startswith("by key")
            assert row(told, id="table app_product")["rows"] == 1


class TestThePage:
    def answer(self, server: Server, **headers: str) -> tuple[int, Any, str]:
        """Return status, headers and text of the page; redirects are not followed."""

        class Stay(urllib.request.HTTPRedirectHandler):
            def redirect_request(self, *_: Any) -> None:
                return None

        url = f"http://127.0.0.1:{server.port}/bindserver/"
        opener = urllib.request.build_opener(Stay)
        try:
            with opener.open(urllib.request.Request(url, headers=headers)) as response:
                return response.status, response.headers, response.read().decode()
        except urllib.error.HTTPError as problem:
            return problem.code, problem.headers, problem.read().decode()

    def test_nobody_is_sent_to_the_login(self, server: Server, program: Program) -> None:
        status, headers, _ = self.answer(server)
        assert status == 302
        assert headers["Location"] == "/accounts/login/?next=/bindserver/"

    def test_who_is_no_staff_is_refused(self, server: Server, program: Program) -> None:
        assert self.answer(server, **program.log_in("bob"))[0] == 403

    def test_staff_gets_it_uncached_and_under_a_strict_policy(
        self, server: Server, staff: dict[str, str]
    ) -> None:
        status, headers, text = self.answer(server, **staff)
        assert status == 200
        assert "no-store" in headers["Cache-Control"]
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; ")
        assert f"connect-src 'self' ws://127.0.0.1:{server.port}" in policy
        assert "unsafe" not in policy
        assert headers["X-Frame-Options"] == "DENY"
        assert 'data-url="/ws/"' in text
        assert "collectstatic" in text
