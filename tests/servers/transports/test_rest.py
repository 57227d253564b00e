"""The HTTP chapter of the wire contract, with a real server."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from django.test import Client, modify_settings, override_settings
from rest_framework.renderers import JSONRenderer

from bindserver.http.api import SnapshotView
from bindserver.hub.hub import hub
from tests.app.models import Product
from tests.conftest import EVERY_DATABASE, MakeServer, program_on
from tests.support.program import Program
from tests.support.server import Server
from tests.support.talk import talking

pytestmark = EVERY_DATABASE


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Message
    body: bytes

    @property
    def data(self) -> Any:
        return json.loads(self.body)


def ask(server: Server, path: str, method: str = "GET", **headers: str) -> Answer:
    """Ask a server over HTTP; header names are written with underscores."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers={"Accept": "application/json", **named})
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


@pytest.fixture
def products(program: Program) -> Program:
    """Three products, and the program that made them."""
    program.add_products(3)
    return program


class TestList:
    def test_tells_event_key_params_and_url(self, server: Server) -> None:
        found = {item["event"]: item for item in ask(server, "/bindings/").data}
        url = f"http://127.0.0.1:{server.port}/bindings/catalogue/"
        expected = {"event": "catalogue", "key": "id", "params": ["category", "q"], "url": url}
        assert found["catalogue"] == expected
        assert found["words"]["key"] == "text"
        assert found["words"]["params"] == []

    def test_has_bindings_whose_params_must_be_given(self, server: Server) -> None:
        found = {item["event"]: item for item in ask(server, "/bindings/").data}
        assert found["in_category"]["params"] == ["category"]


class TestSnapshot:
    def test_is_a_list_of_rows_as_the_websocket_sends_them(
        self, server: Server, products: Program
    ) -> None:
        answer = ask(server, "/bindings/products/")
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/json"
        row = {"name": "product 1", "price": "1.00", "stock": 0, "category": None}
        assert answer.data[0] == {"id": 1, **row}
        assert [row["id"] for row in answer.data] == [1, 2, 3]
        assert answer.headers["ETag"].startswith('"')
        assert "Accept" in answer.headers["Vary"]
        assert len(answer.headers["Bindserver-Cursor"]) <= 512

    def test_of_nothing_is_an_empty_list(self, server: Server, program: Program) -> None:
        assert ask(server, "/bindings/products/").data == []

    def test_is_as_fresh_as_the_database(self, server: Server, products: Program) -> None:
        for number in range(20):
            products.run("UPDATE app_product SET stock = ? WHERE id = 1", number)
            assert ask(server, "/bindings/products/").data[0]["stock"] == number

    def test_takes_params_as_query_parameters(self, server: Server, products: Program) -> None:
        products.run("INSERT INTO app_category VALUES (1, 'a')")
        products.run("UPDATE app_product SET category_id = 1 WHERE id = 2")
        data = ask(server, "/bindings/catalogue/?category=1&q=prod").data
        assert [row["id"] for row in data] == [2]
        assert data[0]["category_name"] == "a"
        assert len(ask(server, "/bindings/catalogue/?format=json").data) == 3

    @pytest.mark.parametrize(
        "query", ["catalogue/?x=1", "catalogue/?category=a", "in_category/", "products/?id=1"]
    )
    def test_wrong_params_are_400(self, server: Server, program: Program, query: str) -> None:
        answer = ask(server, f"/bindings/{query}")
        assert answer.status == 400
        assert answer.data["code"] == "invalid_params"

    def test_an_unknown_event_is_404(self, server: Server) -> None:
        assert ask(server, "/bindings/nothing/").status == 404

    def test_a_binding_that_fails_is_500_and_says_only_a_reference(self, server: Server) -> None:
        answer = ask(server, "/bindings/broken/")
        assert answer.status == 500
        reference = answer.data["detail"].removeprefix("the server failed; reference ")
        assert f"(reference {reference})" in server.log.read_text()
        assert b"secret" not in answer.body
        assert b"Traceback" not in answer.body

    def test_too_many_rows_are_503(self, server: Server, program: Program) -> None:
        program.add_products(6)
        answer = ask(server, "/bindings/few/")
        assert answer.status == 503
        assert answer.data["detail"] == "the queryset has more than 5 rows"

    def test_head_is_get_without_the_body(self, server: Server, products: Program) -> None:
        got, head = (ask(server, "/bindings/products/", method) for method in ("GET", "HEAD"))
        assert head.status == 200
        assert head.body == b""
        assert head.headers["ETag"] == got.headers["ETag"]

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
    def test_nothing_can_be_written(self, server: Server, method: str) -> None:
        assert ask(server, "/bindings/products/", method).status in (403, 405)


class TestOneRow:
    def test_is_the_row_alone(self, server: Server, products: Program) -> None:
        answer = ask(server, "/bindings/products/2/")
        assert answer.data["id"] == 2
        assert (
            ask(server, "/bindings/products/2/", If_None_Match=answer.headers["ETag"]).status == 304
        )

    def test_has_a_tag_of_its_own(self, server: Server, products: Program) -> None:
        tag = ask(server, "/bindings/products/2/").headers["ETag"]
        products.run("UPDATE app_product SET stock = 9 WHERE id = 1")
        assert ask(server, "/bindings/products/2/").headers["ETag"] == tag
        products.run("UPDATE app_product SET stock = 9 WHERE id = 2")
        assert ask(server, "/bindings/products/2/").headers["ETag"] != tag

    @pytest.mark.parametrize("key", ["77", "-1", "02x", "x", "1.0", "%C2%B2", "9" * 30])
    def test_that_is_not_there_is_404(self, server: Server, products: Program, key: str) -> None:
        assert ask(server, f"/bindings/products/{key}/").status == 404

    def test_that_is_not_in_the_queryset_is_404(self, server: Server, products: Program) -> None:
        products.run("UPDATE app_product SET active = 0 WHERE id = 2")
        assert ask(server, "/bindings/products/2/").status == 404

    def test_by_a_key_of_text(self, server: Server, program: Program) -> None:
        program.run("INSERT INTO app_word VALUES ('grün', 1), ('12', 2)")
        assert ask(server, "/bindings/words/gr%C3%BCn/").data == {"text": "grün", "count": 1}
        assert ask(server, "/bindings/words/12/").data["count"] == 2


class TestUnchanged:
    def test_a_known_tag_is_304_with_the_cursor(self, server: Server, products: Program) -> None:
        first = ask(server, "/bindings/products/")
        tag = first.headers["ETag"]
        for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            again = ask(server, "/bindings/products/", If_None_Match=known)
            assert (again.status, again.body) == (304, b"")
            assert again.headers["ETag"] == tag
            assert again.headers["Bindserver-Cursor"]
            assert again.headers["Content-Type"] is None

    def test_another_tag_is_200(self, server: Server, products: Program) -> None:
        assert ask(server, "/bindings/products/", If_None_Match='"other"').status == 200

    def test_a_change_makes_another_tag_and_back_again_the_old_one(
        self, server: Server, products: Program
    ) -> None:
        tag = ask(server, "/bindings/products/").headers["ETag"]
        products.run("UPDATE app_product SET name = 'x' WHERE id = 1")
        changed = ask(server, "/bindings/products/", If_None_Match=tag)
        assert changed.status == 200
        assert changed.headers["ETag"] != tag
        products.run("UPDATE app_product SET name = 'product 1' WHERE id = 1")
        assert ask(server, "/bindings/products/", If_None_Match=tag).status == 304

    def test_a_change_that_is_not_served_is_none(self, server: Server, products: Program) -> None:
        tag = ask(server, "/bindings/products/").headers["ETag"]
        products.run("UPDATE app_product SET sku = 'x' WHERE id = 1")
        assert ask(server, "/bindings/products/", If_None_Match=tag).status == 304

    def test_another_order_is_a_change(self, server: Server, products: Program) -> None:
        tag = ask(server, "/bindings/by_stock/").headers["ETag"]
        products.run("UPDATE app_product SET stock = 5 WHERE id = 3")
        products.run("UPDATE app_product SET stock = 0 WHERE id = 3")
        assert ask(server, "/bindings/by_stock/").headers["ETag"] == tag
        products.run("UPDATE app_product SET name = 'hidden' WHERE id = 3")
        assert ask(server, "/bindings/by_stock/").headers["ETag"] != tag

    def test_a_date_that_is_old_counts_exactly(self, server: Server, products: Program) -> None:
        date = ask(server, "/bindings/products/").headers["Last-Modified"]
        time.sleep(2.1)
        again = ask(server, "/bindings/products/", If_Modified_Since=date)
        assert (again.status, again.body) == (304, b"")
        later = "Fri, 01 Jan 2100 00:00:00 GMT"
        assert ask(server, "/bindings/products/", If_Modified_Since=later).status == 200
        tagged = ask(server, "/bindings/products/", If_Modified_Since=date, If_None_Match='"x"')
        assert tagged.status == 200
        products.run("UPDATE app_product SET stock = 9")
        assert ask(server, "/bindings/products/", If_Modified_Since=date).status == 200

    def test_the_tag_outlives_a_restart_and_the_date_does_not_lie(
        self, make_server: MakeServer
    ) -> None:
        server = make_server()
        program = program_on(server)
        program.add_products(2)
        with server:
            tag = ask(server, "/bindings/products/").headers["ETag"]
        with server:
            assert ask(server, "/bindings/products/", If_None_Match=tag).status == 304
        program.run("UPDATE app_product SET stock = 1")
        program.close()
        with server:
            assert ask(server, "/bindings/products/", If_None_Match=tag).status == 200


class TestCursor:
    async def test_goes_on_over_websocket_from_exactly_here(
        self, server: Server, products: Program
    ) -> None:
        answer = ask(server, "/bindings/products/")
        held, cursor = [row["id"] for row in answer.data], answer.headers["Bindserver-Cursor"]
        async with talking(server.ws) as talk:
            following = await talk.follow("products", cursor=cursor, held=held)
            assert following.actions == ["ok"]
        with products.transaction():
            products.run("DELETE FROM app_product WHERE id = 1")
            products.run("UPDATE app_product SET stock = 9 WHERE id = 3")
            products.add_products(1, first=4)
        async with talking(server.ws) as talk:
            following = await talk.follow("products", cursor=cursor, held=held)
            [batch] = following.frames
            told = [(c["action"], c["payload"]["id"]) for c in batch["payload"]]
            assert told == [("delete", 1), ("update", 3), ("create", 4)]


@pytest.fixture
def client(database: Path) -> Iterator[Client]:
    """A client of this process's own app and hub, with templates for pages."""
    with override_settings(TEMPLATES=TEMPLATES):
        yield Client()
    hub.stop()


TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]


class TestBrowsing:
    def test_people_get_a_page(self, client: Client) -> None:
        Product.objects.create(name="<b>bold</b>")
        answer = client.get("/bindings/products/", headers={"Accept": "text/html"})
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/html")
        assert "&lt;b&gt;bold&lt;/b&gt;" in answer.content.decode()
        assert answer.headers["Bindserver-Cursor"]

    def test_a_page_has_another_tag_than_its_data(self, client: Client) -> None:
        page = client.get("/bindings/products/", headers={"Accept": "text/html"})
        data = client.get("/bindings/products/", headers={"Accept": "application/json"})
        assert page.headers["ETag"] != data.headers["ETag"]

    def test_a_page_is_never_304_since_it_shows_who_is_logged_in(self, client: Client) -> None:
        page = client.get("/bindings/products/", headers={"Accept": "text/html"})
        headers = {"Accept": "text/html", "If-None-Match": page.headers["ETag"]}
        assert client.get("/bindings/products/", headers=headers).status_code == 200

    def test_the_list_is_a_page_too(self, client: Client) -> None:
        answer = client.get("/bindings/", headers={"Accept": "text/html"})
        assert answer.status_code == 200
        assert "/bindings/products/" in answer.content.decode()

    def test_an_unknown_format_is_406(self, client: Client) -> None:
        answer = client.get("/bindings/products/", headers={"Accept": "image/png"})
        assert answer.status_code == 406


@modify_settings(INSTALLED_APPS={"remove": "rest_framework"})
def test_where_drf_is_no_app_its_pages_are_not_offered() -> None:
    assert [type(renderer) for renderer in SnapshotView().get_renderers()] == [JSONRenderer]


@pytest.mark.parametrize("key", ['"\\000aaaaaaaa"', "\xe9" * 20, "a" * 5_000])
def test_a_session_s_key_that_no_session_can_have_is_none(
    server: Server, program: Program, key: str
) -> None:
    before = len(server.log.read_text())
    answer = ask(server, "/bindings/members/", Cookie=f"sessionid={key}")
    assert answer.status in (401, 403)
    assert "Traceback" not in server.log.read_text()[before:]
