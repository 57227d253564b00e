"""What the demo's server does with no page before it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, Request, build_opener

import pytest

from tests.projects.browser.shop_server import ShopServer

pytestmark = pytest.mark.browser

PRODUCTION = {
    "DEBUG": "",
    "SECRET_KEY": "a key of this test alone, and long enough for production",
    "ALLOWED_HOSTS": "127.0.0.1",
    "SECURE_COOKIES": "0",
}


@pytest.fixture
def production_shop(tmp_path: Path) -> Iterator[ShopServer]:
    server = ShopServer(tmp_path, **PRODUCTION)
    server.prepare()
    server.start()
    yield server
    server.kill()


class Visitor:
    """A client with cookies, and the CSRF token when it is asked to be honest."""

    def __init__(self, shop: ShopServer) -> None:
        self.shop = shop
        self.cookies = CookieJar()
        self.opener: OpenerDirector = build_opener(HTTPCookieProcessor(self.cookies))

    def get(self, path: str = "") -> str:
        with self.opener.open(self.shop.url + path) as response:
            return str(response.read().decode())

    def post(self, path: str, *, honest: bool = True, **values: str) -> int:
        request = Request(self.shop.url + path, data=urlencode(values).encode())
        if honest:
            token = next(str(cookie.value) for cookie in self.cookies if cookie.name == "csrftoken")
            request.add_header("X-CSRFToken", token)
        try:
            with self.opener.open(request) as response:
                return int(response.status)
        except HTTPError as refusal:
            return refusal.code


def count(shop: ShopServer, table: str) -> int:
    connection = sqlite3.connect(shop.database)
    (number,) = connection.execute(f"select count(*) from {table}").fetchone()
    connection.close()
    return int(number)


def test_seeding_again_changes_nothing(shop: ShopServer) -> None:
    shop.run_sql("delete from shop_product where sku = 'AUD-061'")
    products = count(shop, "shop_product")
    assert "already" in shop.manage("seed")
    assert count(shop, "shop_product") == products
    assert count(shop, "auth_user") == 1


def test_resetting_brings_the_catalogue_back(shop: ShopServer) -> None:
    products = count(shop, "shop_product")
    shop.run_sql("delete from shop_product where stock > 10")
    shop.manage("seed", "--reset")
    assert count(shop, "shop_product") == products


def test_writes_need_a_post_with_a_token(shop: ShopServer) -> None:
    visitor = Visitor(shop)
    with pytest.raises(HTTPError, match="405"):
        visitor.get("busy/")
    visitor.get()
    assert visitor.post("busy/", honest=False) == 403
    assert visitor.post("busy/") == 200
    assert visitor.post("products/999999/") == 404


def test_the_page_says_how_to_reach_its_database(shop: ShopServer) -> None:
    assert "sqlite3 shop.db &quot;update shop_product" in Visitor(shop).get()


def test_in_production_strangers_may_look_and_not_touch(production_shop: ShopServer) -> None:
    visitor = Visitor(production_shop)
    page = visitor.get()
    assert "Everything in the shop" in page
    for debug_only in ("Busy shop", "Add a product", "sqlite3"):
        assert debug_only not in page
    visitor.get("admin/login/")
    assert visitor.post("busy/") == 403
    assert visitor.post("products/new/", name="Mine") == 403


def test_in_production_there_is_no_demo_user(production_shop: ShopServer) -> None:
    assert count(production_shop, "auth_user") == 0
    assert count(production_shop, "shop_product") > 250


def test_production_without_a_secret_key_is_refused_in_words(tmp_path: Path) -> None:
    server = ShopServer(tmp_path, **PRODUCTION | {"SECRET_KEY": ""})
    with pytest.raises(RuntimeError, match=r"^manage\.py: SECRET_KEY is not set") as refusal:
        server.manage("check")
    assert "Traceback" not in str(refusal.value)
