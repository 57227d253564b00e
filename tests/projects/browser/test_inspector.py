"""The inspector in Chromium: it is live, safe from what strangers write, and fit for everybody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from tests.projects.browser.shop_server import ROOT, ShopServer
from tests.support.chromium import PATIENCE_MS

pytestmark = pytest.mark.browser

AXE = ROOT / "client-js/node_modules/axe-core/axe.min.js"
HOSTILE = "<img src=x onerror=document.title='taken'>\"'</script>"
DESKTOP, PHONE = {"width": 1200, "height": 900}, {"width": 375, "height": 800}


def log_in(window: BrowserContext, shop: ShopServer) -> Page:
    """Come to the inspector as a stranger does, and log in where one is sent to."""
    page = window.new_page()
    page.goto(f"{shop.url}bindserver/")
    page.locator("#id_username").fill("demo")
    page.locator("#id_password").fill("demo")
    page.locator("#id_password").press("Enter")
    expect(page.locator("#status")).to_have_text("live")
    return page


def follow(window: BrowserContext, shop: ShopServer, event: str, params: Any) -> Page:
    """Have another page follow a binding."""
    page = window.new_page()
    page.goto(shop.url)
    page.evaluate(
        "([event, params]) => io.collection(event, params).ready.then(() => undefined)",
        [event, params],
    )
    return page


def line(page: Page, table: str, text: str) -> Any:
    return page.locator(f"#{table} tbody tr", has_text=text)


@pytest.fixture
def inspector(window: BrowserContext, shop: ShopServer) -> Iterator[Page]:
    """The page, of which the browser has refused nothing."""
    refused: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            refused.append(message.text)

    window.on("console", hear)
    yield log_in(window, shop)
    assert [text for text in refused if "Content Security Policy" in text] == []


def test_views_are_shown_while_they_are_followed(
    inspector: Page, window: BrowserContext, shop: ShopServer
) -> None:
    expect(inspector.locator("#shown")).to_contain_text("which this page's connection has reached")
    other = follow(window, shop, "categories", {})
    expect(line(inspector, "views", "categories")).to_contain_text("ready")
    expect(line(inspector, "bindings", "categories")).to_be_visible()
    expect(line(inspector, "databases", "default")).to_contain_text("change log")
    other.close()
    followers = line(inspector, "views", "categories").locator("td").nth(4)
    expect(followers).to_have_text("0")
    inspector.locator("#views-search").fill("no such view")
    expect(inspector.locator("#views tbody")).to_have_text("no view")


def test_what_strangers_write_is_shown_and_never_run(
    inspector: Page, window: BrowserContext, shop: ShopServer
) -> None:
    follow(window, shop, "products", {"q": HOSTILE})
    inspector.locator("#views-search").fill("onerror")
    params = line(inspector, "views", "onerror").locator("td").nth(1)
    expect(params).to_contain_text("<img src=x onerror=document.title='taken'>")
    line(inspector, "views", "onerror").get_by_role("button").click()
    expect(inspector.locator("#detail-facts")).to_contain_text("<img src=x")
    inspector.locator("#why-row").fill(HOSTILE)
    inspector.get_by_role("button", name="Why is it in or out?").click()
    expect(inspector.locator("#answer")).to_contain_text("is no primary key")
    assert inspector.locator("main img").count() == 0
    assert inspector.title() == "bindserver inspector"


def test_why_a_row_is_out_is_answered_with_the_condition_that_fails(
    inspector: Page, window: BrowserContext, shop: ShopServer
) -> None:
    follow(window, shop, "products", {})
    shop.run_sql("update shop_product set active = 0 where id = 1")
    line(inspector, "views", "products").get_by_role("button").first.click()
    inspector.locator("#why-row").fill("1")
    inspector.get_by_role("button", name="Why is it in or out?").click()
    answer = inspector.locator("#answer")
    expect(answer).to_contain_text("row 1 is out: it fails one condition")
    expect(answer.locator("li.fails")).to_contain_text("active = True (it has False)")
    expect(answer).to_contain_text("inserted or updated, entry")
    shop.run_sql("update shop_product set active = 1 where id = 1")
    inspector.get_by_role("button", name="Why is it in or out?").click()
    expect(answer).to_contain_text("row 1 is in: it meets all conditions")
    inspector.get_by_role("button", name="How is the view kept?").click()
    expect(answer.locator("ul.ways li").first).to_contain_text("shop_")
    expect(answer).to_contain_text("Ordered by")


def test_without_its_static_files_the_page_says_what_to_do(
    window: BrowserContext, shop: ShopServer
) -> None:
    page = log_in(window, shop)
    page.route("**/inspector.*", lambda route: route.abort())
    page.reload()
    expect(page.locator("#missing")).to_be_visible()
    expect(page.locator("#missing")).to_contain_text("manage.py collectstatic")


def test_the_admin_leads_to_it(window: BrowserContext, shop: ShopServer) -> None:
    page = log_in(window, shop)
    page.get_by_role("link", name="Django admin").click()
    page.locator(".model-inspector a").first.click()
    expect(page.locator("#status")).to_have_text("live")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_is_accessible(chromium: Browser, shop: ShopServer, scheme: Any, size: Any) -> None:
    window = chromium.new_context(viewport=size, color_scheme=scheme)
    window.set_default_timeout(PATIENCE_MS)
    try:
        page = log_in(window, shop)
        follow(window, shop, "products", {"q": "a"})
        line(page, "views", "products").get_by_role("button").first.click()
        page.locator("#why-row").fill("1")
        page.get_by_role("button", name="Why is it in or out?").click()
        expect(page.locator("#answer .verdict")).to_be_visible()
        assert problems_of(page) == []
        page.get_by_role("button", name="How is the view kept?").click()
        expect(page.locator("#answer ul.ways")).to_be_visible()
        assert problems_of(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    finally:
        window.close()


def problems_of(page: Page) -> list[str]:
    """Return what axe finds wrong, and where."""
    page.evaluate(AXE.read_text())  # beside the page's policy, which lets no other script in
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{problem['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for problem in found["violations"]
        for node in problem["nodes"]
    ]
