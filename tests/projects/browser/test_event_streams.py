"""Chromium's own EventSource, by the script of docs/event_streams.md."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.projects.browser.shop_server import ROOT, ShopServer

pytestmark = pytest.mark.browser

RENAME = "update shop_product set name = '{}' where sku = 'AUD-061'"
NAMED = "[...rows.values()].find((row) => row.sku === 'AUD-061').name === '{}'"


@pytest.fixture
def page(window: BrowserContext, shop: ShopServer) -> Page:
    """A page with the documented script alone, which follows the shop's products."""
    text = (ROOT / "docs/event_streams.md").read_text()
    script = re.search(r"```html\n<script>\n(.*?)</script>", text, re.DOTALL)
    assert script is not None
    page = window.new_page()
    page.goto(shop.url + "healthz")
    page.add_script_tag(content=script[1].replace("/bindings/tags/", "/bindings/products/"))
    page.wait_for_function("rows.size > 0")
    return page


def test_the_documented_script_holds_the_rows_as_they_are(page: Page, shop: ShopServer) -> None:
    shop.run_sql(RENAME.format("Radio"))
    page.wait_for_function(NAMED.format("Radio"))
    shop.run_sql("delete from shop_product where sku = 'AUD-061'")
    page.wait_for_function("![...rows.values()].some((row) => row.sku === 'AUD-061')")


def test_it_goes_on_by_itself_after_a_restart(page: Page, shop: ShopServer) -> None:
    shop.kill()
    shop.run_sql(RENAME.format("Radio"))
    shop.start()
    page.wait_for_function(NAMED.format("Radio"))
