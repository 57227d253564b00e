"""What a visitor finds on the shop's page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import BrowserContext, Locator, Page, Request, expect

from tests.projects.browser.shop_server import ShopServer


def open_shop(window: BrowserContext, shop: ShopServer, query: str = "") -> Page:
    page = window.new_page()
    page.goto(shop.url + query)
    page.locator("#rows tr").first.wait_for()
    return page


def row_of(page: Page, sku: str) -> Locator:
    return page.locator("#rows tr:not(.leaving)", has=page.get_by_text(sku, exact=True))


def cell_of(page: Page, sku: str, field: str) -> Locator:
    return row_of(page, sku).locator(f"[data-field={field}]")


def texts(page: Page, field: str = "name") -> list[str]:
    """The texts of a column, as they stand from top to bottom."""
    cells = page.locator(f"#rows tr:not(.leaving) [data-field={field}]")
    found: list[str] = cells.all_text_contents()
    return found


def light_long(page: Page) -> None:
    """Let lights of rows last until `put_out_lights`, however busy the machine is."""
    page.add_style_tag(content="#rows tr { animation-duration: 600s !important }")


def put_out_lights(page: Page) -> None:
    """End them as time would."""
    page.evaluate("document.getAnimations().forEach((animation) => animation.finish())")


@contextmanager
def busy(page: Page) -> Iterator[None]:
    """Have the shop be busy; when the block is left, nothing more will be written by that."""
    begun: set[Request] = set()
    page.on("request", lambda request: begun.add(request))
    page.on("requestfinished", lambda request: begun.discard(request))
    page.on("requestfailed", lambda request: begun.discard(request))
    switch = page.get_by_role("switch", name="Busy shop")
    switch.click()
    expect(switch).to_have_attribute("aria-checked", "true")
    yield
    switch.click()
    expect(switch).to_have_attribute("aria-checked", "false")
    while begun:
        page.wait_for_event("requestfinished")


def open_form(page: Page, sku: str) -> None:
    row_of(page, sku).hover()
    row_of(page, sku).get_by_role("button").click()


def edit(page: Page, product: str, /, **values: str) -> None:
    """Change the product with that SKU in the form, and save."""
    open_form(page, product)
    for field, value in values.items():
        page.locator(f"#id_{field}").fill(value)
    page.get_by_role("button", name="Save").click()
