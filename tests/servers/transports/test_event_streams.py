"""Event streams: the rows of a binding over plain HTTP, with a real server."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from contextlib import closing
from typing import Any
from urllib.parse import urlencode

import pytest

from bindserver.client.replica import Replica
from tests.conftest import EVERY_DATABASE, MakeServer, program_on
from tests.servers.transports.test_identity import add_token, jwt
from tests.servers.transports.test_rest import ask
from tests.support.program import Program
from tests.support.server import Server
from tests.support.streams import streaming

pytestmark = EVERY_DATABASE


def names(rows: list[dict[str, Any]]) -> list[str]:
    return [row["name"] for row in rows]


class TestRows:
    def test_come_first_and_then_their_changes(self, server: Server, program: Program) -> None:
        program.add_products(2)
        with streaming(server, "/bindings/products/") as stream:
            assert stream.status == 200
            assert stream.response.headers["Content-Type"] == "text/event-stream"
            first = stream.next()
            assert first.name == "sync"
            assert names(first.data["payload"]) == ["product 1", "product 2"]
            assert first.id == first.data["cursor"]
            program.run("UPDATE app_product SET name = 'new' WHERE id = 1")
            changed = stream.next()
            assert (changed.name, changed.data["payload"]["name"]) == ("update", "new")
            program.run("DELETE FROM app_product WHERE id = 2")
            gone = stream.next()
            assert (gone.name, gone.data["payload"]) == ("delete", {"id": 2})

    def test_take_params(self, server: Server, program: Program) -> None:
        program.run("INSERT INTO app_category (id, name) VALUES (1, 'tea')")
        program.add_products(1)
        program.run("UPDATE app_product SET category_id = 1")
        with streaming(server, "/bindings/in_category/?category=1") as stream:
            first = stream.next()
        assert (first.data["params"], len(first.data["payload"])) == ({"category": 1}, 1)

    def test_go_on_from_the_last_id(self, server: Server, program: Program) -> None:
        program.add_products(2)
        with streaming(server, "/bindings/products/") as stream:
            last = stream.next().id
            with streaming(server, "/bindings/products/", Last_Event_ID=last) as again:
                assert again.next().name == "ok"
            program.run("UPDATE app_product SET name = 'new' WHERE id = 1")
            stream.next()
            with streaming(server, "/bindings/products/", Last_Event_ID=last) as again:
                told = again.next()
        assert (told.name, told.data["payload"]["name"]) == ("update", "new")

    def test_go_on_from_a_snapshot(self, server: Server, program: Program) -> None:
        program.add_products(2)
        cursor = ask(server, "/bindings/products/").headers["Bindserver-Cursor"]
        with streaming(server, f"/bindings/products/?cursor={cursor}") as stream:
            assert stream.next().name == "ok"

    @pytest.mark.parametrize("cursor", ["none", "x" * 2_000, "%ED%A0%80"])
    def test_all_come_where_a_cursor_says_nothing(
        self, server: Server, program: Program, cursor: str
    ) -> None:
        program.add_products(1)
        with streaming(server, f"/bindings/products/?cursor={cursor}") as stream:
            assert stream.next().name == "sync"

    def test_of_another_binding_are_no_cursors(self, server: Server, program: Program) -> None:
        program.add_products(1)
        cursor = ask(server, "/bindings/products/").headers["Bindserver-Cursor"]
        with streaming(server, f"/bindings/catalogue/?cursor={cursor}") as stream:
            assert stream.next().name == "sync"


def several(*wanted: dict[str, Any]) -> str:
    """Return the address of one stream of several bindings."""
    return f"/bindings/stream/?{urlencode({'subscribe': json.dumps(wanted)})}"


class TestSeveralBindings:
    def test_come_in_one_stream_and_are_told_by_their_events(
        self, server: Server, program: Program
    ) -> None:
        program.add_products(1)
        program.run("INSERT INTO app_category (id, name) VALUES (1, 'tea')")
        path = several({"event": "products"}, {"event": "in_category", "params": {"category": 1}})
        with streaming(server, path) as stream:
            first = {told.data["event"]: told for told in (stream.next(), stream.next())}
            assert {told.name for told in first.values()} == {"sync"}
            assert first["in_category"].data["params"] == {"category": 1}
            program.run("UPDATE app_product SET category_id = 1")
            told = {(t.data["event"], t.name) for t in (stream.next(), stream.next())}
            assert told == {("products", "update"), ("in_category", "create")}

    def test_go_on_from_the_last_id_which_names_the_cursors_of_all(
        self, server: Server, program: Program
    ) -> None:
        program.add_products(1)
        path = several({"event": "tags"}, {"event": "products"})
        with streaming(server, path) as stream:
            stream.next()
            stream.next()
            last = stream.last_id
            assert len(last.split(",")) == 2
            program.run("UPDATE app_product SET name = 'new'")
            assert stream.next().data["event"] == "products"
            with streaming(server, path, Last_Event_ID=last) as again:
                told = {t.data["event"]: t.name for t in (again.next(), again.next())}
                assert told == {"tags": "ok", "products": "update"}
            with streaming(server, path, Last_Event_ID=stream.last_id) as again:
                told = {t.data["event"]: t.name for t in (again.next(), again.next())}
                assert told == {"tags": "ok", "products": "ok"}

    def test_go_on_from_cursors_of_snapshots(self, server: Server, program: Program) -> None:
        program.add_products(1)
        cursor = ask(server, "/bindings/products/").headers["Bindserver-Cursor"]
        path = several({"event": "products", "cursor": cursor}, {"event": "tags"})
        with streaming(server, path) as stream:
            told = {t.data["event"]: t.name for t in (stream.next(), stream.next())}
            assert told == {"products": "ok", "tags": "sync"}

    def test_one_that_is_refused_keeps_no_other_back(self, server: Server) -> None:
        path = several({"event": "nothing"}, {"event": "tags"}, {"event": "members"})
        with streaming(server, path) as stream:
            told = [stream.next() for _ in range(3)]
        said = {t.data["event"]: (t.name, t.data["payload"]) for t in told}
        assert said["tags"] == ("sync", [])
        assert said["nothing"][0] == said["members"][0] == "error"
        assert said["members"][1]["code"] == "unauthenticated"

    def test_where_all_are_refused_there_is_no_stream(self, server: Server) -> None:
        answer = ask(server, several({"event": "nothing"}), Accept="text/event-stream")
        assert (answer.status, "nothing" in answer.data["detail"]) == (404, True)

    def test_one_that_ends_keeps_no_other_back(self, make_server: MakeServer) -> None:
        server = make_server(REVALIDATE_SECONDS=0.3).start()
        with closing(program_on(server)) as program:
            path = several({"event": "members"}, {"event": "tags"})
            with streaming(server, path, **program.log_in("ann")) as stream:
                assert {stream.next().name, stream.next().name} == {"sync"}
                program.run("DELETE FROM django_session")
                ended = [stream.next(), stream.next()]
                assert [told.name for told in ended] == ["disconnect", "disconnect"]
                assert stream.next_or_end() is None

    def test_the_same_twice_is_followed_once(self, server: Server, program: Program) -> None:
        path = several({"event": "tags"}, {"event": "tags", "params": {}})
        with streaming(server, path) as stream:
            assert stream.next().name == "sync"
            program.run("INSERT INTO app_tag (id, name) VALUES (1, 'a')")
            told = stream.next()
            told = stream.next() if told.name == "sync" else told
            assert told.name in ("create", "sync")
            assert len(told.id.split(",")) == 2

    @pytest.mark.parametrize(
        "subscribe",
        [
            *("", "x", "1", "{}", "[]", "[1]", '[{"event": 1}]', '[{"event": ""}]', "null"),
            *('[{"event": "$auth"}]', '[{"event": "tags", "params": 1}]', "[" * 10_000),
            *('[{"event": "tags", "cursor": 1}]', '[{"event": "tags", "page_size": -1}]'),
            json.dumps([{"event": "tags"}] * 101),
        ],
    )
    def test_what_is_no_list_of_them_is_told_to_be_none(
        self, server: Server, subscribe: str
    ) -> None:
        path = f"/bindings/stream/?{urlencode({'subscribe': subscribe})}"
        answer = ask(server, path, Accept="text/event-stream")
        assert answer.status == 400
        assert answer.data["detail"]

    def test_without_a_wish_for_a_stream_there_is_none(self, server: Server) -> None:
        assert ask(server, several({"event": "tags"})).status == 406


class TestHeaders:
    def test_nothing_on_the_way_holds_events_back(self, server: Server) -> None:
        with streaming(server, "/bindings/products/", Accept_Encoding="gzip") as stream:
            headers = stream.response.headers
            stream.next()
        assert headers["X-Accel-Buffering"] == "no"
        assert headers["Cache-Control"] == "no-cache, no-transform"
        assert "Accept" in headers["Vary"]

    def test_each_client_is_told_when_to_come_back(self, server: Server) -> None:
        with streaming(server, "/bindings/products/") as stream:
            stream.next()
        assert stream.retry is not None
        assert 2_000 <= stream.retry <= 4_000

    def test_a_format_in_the_address_will_do(self, server: Server) -> None:
        path = "/bindings/products/?format=event-stream"
        with streaming(server, path, Accept="*/*") as stream:
            assert stream.next().name == "sync"


class TestRefusals:
    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("/bindings/nothing/", 404),
            ("/bindings/in_category/", 400),
            ("/bindings/in_category/?category=x", 400),
            ("/bindings/products/1/", 406),
        ],
    )
    def test_are_told_by_the_status_as_json(self, server: Server, path: str, status: int) -> None:
        answer = ask(server, path, Accept="text/event-stream")
        assert answer.status == status
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.data["detail"]


WRITES = (
    "UPDATE app_product SET stock = {n} WHERE id = {a}",
    "UPDATE app_product SET stock = stock + 1 WHERE id <= {a}",
    "UPDATE app_product SET price = {n} WHERE id = {a}",
    "DELETE FROM app_product WHERE id = {a}",
    "UPDATE app_product SET name = 'hidden' WHERE id = {a}",
    "UPDATE app_product SET name = 'shown' WHERE id > {a}",
)


@pytest.mark.parametrize("event", ["by_stock", "cheapest"])
def test_a_copy_that_comes_and_goes_is_as_the_database_is(
    server: Server, program: Program, event: str
) -> None:
    chance = random.Random(event)
    program.add_products(12)
    replica = Replica("id")
    for _ in range(4):
        last = replica.cursor or ""
        with streaming(server, f"/bindings/{event}/", Last_Event_ID=last) as stream:
            replica.apply(stream.next().data)
            for _ in range(25):
                sql = chance.choice(WRITES)
                program.run(sql.format(a=chance.randint(1, 12), n=chance.randint(0, 15)))
            rows = ask(server, f"/bindings/{event}/").data
            while replica.rows != rows:
                replica.apply(stream.next().data)


class TestWhoAsks:
    def test_are_sent_what_is_theirs_until_their_session_ends(
        self, make_server: MakeServer
    ) -> None:
        server = make_server(REVALIDATE_SECONDS=0.5).start()
        with closing(program_on(server)) as program:
            headers = program.log_in("ann")
            assert ask(server, "/bindings/members/", Accept="text/event-stream").status in (
                401,
                403,
            )
            with streaming(server, "/bindings/members/", **headers) as stream:
                assert stream.next().name == "sync"
                program.run("DELETE FROM django_session")
                told = stream.next()
                assert (told.name, told.data["code"]) == ("disconnect", "revoked")
                assert stream.next_or_end() is None

    def test_are_sent_what_is_theirs_until_their_token_is_withdrawn(
        self, make_server: MakeServer
    ) -> None:
        server = make_server(REVALIDATE_SECONDS=0.5).start()
        with closing(program_on(server)) as program:
            program.log_in("ann")
            token = f"Token {add_token(program, 1)}"
            with streaming(server, "/bindings/members/", Authorization=token) as stream:
                assert stream.next().name == "sync"
                program.run("UPDATE auth_user SET first_name = 'Ann'")
                time.sleep(1)
                program.run("DELETE FROM authtoken_token")
                told = stream.next()
                assert (told.name, told.data["code"]) == ("disconnect", "revoked")
                assert stream.next_or_end() is None

    def test_are_let_go_of_when_they_log_out(self, server: Server, program: Program) -> None:
        headers = program.log_in("cleo")
        with streaming(server, "/bindings/members/", **headers) as stream:
            stream.next()
            assert ask(server, "/logout/", "POST", **headers).status == 204
            assert stream.next().data["code"] == "revoked"
            assert stream.next_or_end() is None

    def test_are_let_go_of_when_their_token_ends(self, server: Server, program: Program) -> None:
        program.log_in("ann")
        token = f"Bearer {jwt(1, 3)}"
        with streaming(server, "/bindings/members/", Authorization=token) as stream:
            stream.next()
            assert stream.next().data["code"] == "expired"


class TestEnd:
    def test_a_server_that_stops_ends_its_streams(self, make_server: MakeServer) -> None:
        server = make_server().start()
        with streaming(server, "/bindings/products/") as stream:
            stream.next()
            os.kill(server.pid, signal.SIGTERM)
            assert stream.next_or_end() is None

    def test_a_client_that_leaves_is_forgotten(self, make_server: MakeServer) -> None:
        server = make_server(METRICS_ALLOW=["127.0.0.1"]).start()
        with streaming(server, "/bindings/products/") as stream:
            stream.next()
            assert open_ones(server) == 1
        until = time.monotonic() + 60
        while open_ones(server) and time.monotonic() < until:
            time.sleep(0.05)
        assert open_ones(server) == 0


def open_ones(server: Server) -> int:
    """Return how many event streams are open, as the metrics say."""
    body = ask(server, "/metrics", Accept="*/*").body.decode()
    lines = [line for line in body.splitlines() if line.startswith("bindserver_connections{")]
    return sum(int(float(line.split()[-1])) for line in lines if "event stream" in line)
