"""The JavaScript client in Chromium: the examples, collections side by side, a worker."""

from __future__ import annotations

import os
import subprocess
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.projects.browser.shop_server import ROOT, ShopServer

pytestmark = pytest.mark.browser

CLIENT = ROOT / "client-js"
RADIO = "AUD-061"
RENAME = "update shop_product set name = '{}' where sku = 'AUD-061'"


@pytest.fixture(scope="session")
def react_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The React example, bundled with the React that the client's own tests have."""
    bundle = tmp_path_factory.mktemp("react") / "main.js"
    subprocess.run(
        [
            CLIENT / "node_modules/.bin/esbuild",
            ROOT / "examples/react/main.jsx",
            "--bundle",
            "--jsx=automatic",
            "--format=esm",
            "--log-level=warning",
            f"--alias:bindserver={CLIENT / 'src/index.js'}",
            f"--alias:bindserver/react={CLIENT / 'src/react.js'}",
            f"--outfile={bundle}",
        ],
        env={**os.environ, "NODE_PATH": str(CLIENT / "node_modules")},
        check=True,
    )
    return bundle


def open_plain(window: BrowserContext, shop: ShopServer, bundle: Path) -> Page:
    page = window.new_page()
    page.goto(shop.url + "static/examples/plain/index.html")
    return page


def open_react(window: BrowserContext, shop: ShopServer, bundle: Path) -> Page:
    page = window.new_page()
    page.route("**/build/main.js", partial(serve, body=bundle.read_text(), kind="javascript"))
    page.goto(shop.url + "static/examples/react/index.html")
    return page


def serve(route: Route, *, body: str, kind: str) -> None:
    route.fulfill(body=body, content_type=f"text/{kind}; charset=utf-8")


def open_script(window: BrowserContext, shop: ShopServer, main: str) -> Page:
    """Open the plain example's page with another program in it."""
    page = window.new_page()
    page.route("**/plain/main.js", partial(serve, body=main, kind="javascript"))
    page.goto(shop.url + "static/examples/plain/index.html")
    return page


def names(page: Page) -> list[str]:
    found: list[str] = page.eval_on_selector_all(
        "#products li", "(items) => items.map((item) => item.firstChild.data)"
    )
    return found


@pytest.mark.parametrize("opened", [open_plain, open_react])
class TestExamples:
    @pytest.fixture
    def page(
        self, window: BrowserContext, shop: ShopServer, react_bundle: Path, opened: object
    ) -> Page:
        assert callable(opened)
        page: Page = opened(window, shop, react_bundle)
        expect(page.locator("#status")).to_have_text("live")
        return page

    def test_shows_the_shop_in_order_and_follows(self, page: Page, shop: ShopServer) -> None:
        assert len(names(page)) > 250
        assert names(page) == sorted(names(page))
        shop.run_sql(RENAME.format("Aardvark"))
        expect(page.locator("#products li").first).to_contain_text("Aardvark")
        assert names(page) == sorted(names(page))

    def test_an_unchanged_row_keeps_its_element(self, page: Page, shop: ShopServer) -> None:
        page.evaluate("window.before = [...document.querySelectorAll('#products li')]")
        shop.run_sql(RENAME.format("Zither"))
        expect(page.locator("#products li").last).to_contain_text("Zither")
        kept = page.evaluate("window.before.filter((each) => each.isConnected).length")
        assert kept >= len(names(page)) - 1

    def test_another_category_is_another_collection(self, page: Page, shop: ShopServer) -> None:
        before = len(names(page))
        page.locator("#category").select_option(label="Audio")
        expect(page.locator("#status")).to_have_text("live")
        expect(page.locator("#products li", has_text="Radio")).not_to_have_count(0)
        page.wait_for_function(f"document.querySelectorAll('#products li').length < {before}")
        shop.run_sql(RENAME.format("Aardvark"))
        expect(page.locator("#products li").first).to_contain_text("Aardvark")

    def test_goes_on_by_itself_after_the_server_was_killed(
        self, page: Page, shop: ShopServer
    ) -> None:
        shop.kill()
        expect(page.locator("#status")).to_have_text("stale")
        assert len(names(page)) > 250
        shop.run_sql(RENAME.format("Aardvark"))
        shop.start()
        expect(page.locator("#status")).to_have_text("live", timeout=30_000)
        expect(page.locator("#products li").first).to_contain_text("Aardvark")


PAIRS = """
import { connect } from "/static/bindserver/bindserver.mjs";
const io = connect();
const products = io.collection("products");
const categories = io.collection("categories");
window.steps = [];
const look = () => {
  const named = new Map(categories.rows.map(({ id, name }) => [id, name]));
  const odd = products.rows.filter((row) => named.get(row.category) !== row.category_name);
  window.steps.push(odd.length);
};
await Promise.all([products.ready, categories.ready]);
products.subscribe(look);
categories.subscribe(look);
window.name_of = (id) => categories.get(id)?.name;
"""


def test_collections_that_one_transaction_touched_change_together(
    window: BrowserContext, shop: ShopServer
) -> None:
    page = open_script(window, shop, main=PAIRS)
    page.wait_for_function("Boolean(window.name_of)")
    for turn in range(12):
        # One category: what takes the server more than a second is not waited for.
        shop.run_sql(f"update shop_category set name = name || '{turn % 10}' where id = 1")
    page.wait_for_function("window.name_of(1)?.endsWith('2345678901')")
    steps = page.evaluate("window.steps")
    assert len(steps) >= 2
    assert set(steps) == {0}


SNAPSHOT = """
import { connect } from "/static/bindserver/bindserver.mjs";
const answer = await fetch("/bindings/products/?category=1");
const rows = await answer.json();
const cursor = answer.headers.get("Bindserver-Cursor");
const products = connect().collection("products", { category: 1 }, { initial: { rows, cursor } });
const { status } = products;
await products.ready;
window.told = [products.rows === rows, rows.length > 0, Boolean(cursor), status, products.status];
"""


def test_goes_on_from_an_http_snapshot_without_another_copy(
    window: BrowserContext, shop: ShopServer
) -> None:
    page = open_script(window, shop, main=SNAPSHOT)
    page.wait_for_function("window.told")
    assert page.evaluate("window.told") == [True, True, True, "stale", "live"]


WORKER = """
const code = `
  import { connect } from "${location.origin}/static/bindserver/bindserver.mjs";
  const products = connect("${location.origin}/ws/").collection("products");
  products.subscribe(() => {
    postMessage({ status: products.status, first: products.rows[0]?.name });
  });
`;
const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
const worker = new Worker(url, { type: "module" });
worker.onmessage = ({ data }) => { window.told = data; };
"""


def test_a_worker_may_hold_a_collection(window: BrowserContext, shop: ShopServer) -> None:
    page = open_script(window, shop, main=WORKER)
    page.wait_for_function("window.told?.status === 'live'")
    shop.run_sql(RENAME.format("Aardvark"))
    page.wait_for_function("window.told.first === 'Aardvark'")


SCRIPT_TAG = "window.products = window.io.collection('products')"


def test_the_script_tag_s_io_has_collections_too(window: BrowserContext, shop: ShopServer) -> None:
    page = open_script(window, shop, main="")
    page.add_script_tag(url="/static/bindserver/io.js")
    page.add_script_tag(content=SCRIPT_TAG)
    page.wait_for_function("window.products.status === 'live' && window.products.rows.length > 250")
