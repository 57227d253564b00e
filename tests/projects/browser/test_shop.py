"""The demo shop, tried as a new user would."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.projects.browser.shop_page import (
    busy,
    cell_of,
    edit,
    light_long,
    open_form,
    open_shop,
    put_out_lights,
    row_of,
    texts,
)
from tests.projects.browser.shop_server import ShopServer

pytestmark = pytest.mark.browser

RADIO = "AUD-061"
ROWS_NOW = "#rows tr:not(.leaving)"
FIELDS = ("sku", "name", "price", "stock", "category_name")


def test_the_page_fills_with_the_shop_in_order(page: Page) -> None:
    names = texts(page)
    assert len(names) > 250
    assert names == sorted(names)
    expect(page.locator("#count")).to_have_text(f"{len(names)} products")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    expect(page.locator("#category option")).to_have_count(12)


def test_an_edit_in_the_form_shows_in_the_row(page: Page) -> None:
    light_long(page)
    edit(page, RADIO, price="81.5", stock="3")
    expect(row_of(page, RADIO)).to_have_attribute("data-lit", "update")
    expect(cell_of(page, RADIO, "price")).to_have_text("€81.50")
    expect(cell_of(page, RADIO, "stock")).to_have_text("3")
    expect(cell_of(page, RADIO, "level")).to_have_text("Low")
    put_out_lights(page)
    expect(row_of(page, RADIO)).not_to_have_attribute("data-lit", "update")


def test_a_new_name_moves_the_row_to_its_place(page: Page) -> None:
    edit(page, RADIO, name="Aardvark, plush")
    expect(page.locator(ROWS_NOW).first).to_contain_text("Aardvark, plush")
    assert texts(page) == sorted(texts(page))


def test_what_the_form_refuses_is_said_at_the_field(page: Page) -> None:
    edit(page, RADIO, price="-1", sku="not a code")
    expect(page.locator("#error-price")).to_contain_text("greater than or equal to 0.01")
    expect(page.locator("#error-sku")).to_contain_text("capital letters")
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(cell_of(page, RADIO, "price")).not_to_have_text("€-1.00")


def test_a_new_product_enters_at_its_place(page: Page) -> None:
    light_long(page)
    page.get_by_role("button", name="Add a product").click()
    for field, value in {"name": "Baking <b>stone</b>", "sku": "KIT-999", "price": "35"}.items():
        page.locator(f"#id_{field}").fill(value)
    page.locator("#id_category").select_option(label="Kitchen")
    page.get_by_role("button", name="Save").click()
    expect(row_of(page, "KIT-999")).to_have_attribute("data-lit", "create")
    expect(cell_of(page, "KIT-999", "name")).to_have_text("Baking <b>stone</b>")
    assert texts(page) == sorted(texts(page))


def test_a_product_taken_out_of_the_shop_leaves_the_page(page: Page) -> None:
    before = len(texts(page))
    open_form(page, RADIO)
    page.locator("#id_active").uncheck()
    page.get_by_role("button", name="Save").click()
    expect(row_of(page, RADIO)).to_have_count(0)
    expect(page.locator("#count")).to_have_text(f"{before - 1} products")


def test_an_open_form_follows_what_others_do(page: Page, shop: ShopServer) -> None:
    open_form(page, RADIO)
    page.locator("#id_price").fill("99")
    shop.run_sql(f"update shop_product set price = 12, stock = 4321 where sku = '{RADIO}'")
    expect(page.locator("#id_stock")).to_have_value("4321")
    expect(page.locator("#id_price")).to_have_value("99")
    expect(page.locator("[data-hint-for=price]")).to_have_text("Meanwhile: €12.00")


def test_plain_sql_from_another_process_shows(page: Page, shop: ShopServer) -> None:
    shop.run_sql(f"update shop_product set price = 1234.5 where sku = '{RADIO}'")
    expect(cell_of(page, RADIO, "price")).to_have_text("€1,234.50")
    shop.run_sql(f"delete from shop_product where sku = '{RADIO}'")
    expect(row_of(page, RADIO)).to_have_count(0)
    shop.run_sql(
        "insert into shop_product (name, sku, price, category_id) "
        "select 'Zither', 'AUD-900', 210, id from shop_category where name = 'Audio'"
    )
    expect(page.locator(ROWS_NOW).last).to_contain_text("Zither")


def test_a_category_renamed_by_plain_sql_shows_in_its_rows(page: Page, shop: ShopServer) -> None:
    shop.run_sql("update shop_category set name = 'Sound' where name = 'Audio'")
    expect(cell_of(page, RADIO, "category_name")).to_have_text("Sound")
    expect(page.locator("#category option", has_text="Sound")).to_have_count(1)
    assert "Audio" not in texts(page, "category_name")


def test_search_and_category_narrow_the_table(page: Page) -> None:
    page.locator("#category").select_option(label="Kitchen")
    expect(cell_of(page, RADIO, "name")).to_have_count(0)
    assert set(texts(page, "category_name")) == {"Kitchen"}
    page.get_by_role("searchbox").fill("knife")
    expect(page.locator("#count")).to_have_text(re.compile(r"^\d products$"))
    assert all("knife" in name.lower() for name in texts(page))
    page.get_by_role("searchbox").fill("no such thing")
    expect(page.get_by_text("Nothing in the shop matches that.")).to_be_visible()
    page.get_by_role("button", name="Show everything").click()
    expect(row_of(page, RADIO)).to_have_count(1)


def test_a_narrowed_table_is_live_too(window: BrowserContext, page: Page, shop: ShopServer) -> None:
    narrowed = open_shop(window, shop, "?q=radio")
    expect(narrowed.locator("#count")).to_have_text("2 products")
    shop.run_sql("update shop_product set name = 'Wireless set' where sku = 'AUD-061'")
    expect(narrowed.locator("#count")).to_have_text("1 product")
    shop.run_sql("update shop_product set name = 'Radio clock' where sku = 'TOY-121'")
    expect(narrowed.locator("#count")).to_have_text("2 products")
    expect(narrowed.locator(ROWS_NOW).last).to_contain_text("Radio clock")


def test_a_busy_shop_moves_rows_until_it_is_switched_off(page: Page, shop: ShopServer) -> None:
    with busy(page):
        expect(page.locator("#rows tr[data-lit]").first).to_be_visible()
        expect(page.locator("#feed li")).to_have_count(6)
    show_all(shop, page)
    quiet = {field: texts(page, field) for field in FIELDS}
    page.wait_for_timeout(1200)
    assert {field: texts(page, field) for field in FIELDS} == quiet


def test_two_visitors_see_the_same(chromium: Browser, page: Page, shop: ShopServer) -> None:
    with chromium.new_context() as other_window:
        other = open_shop(other_window, shop)
        with busy(page):
            page.wait_for_timeout(3000)
        show_all(shop, page, other)
        for field in FIELDS:
            assert texts(page, field) == texts(other, field)


def show_all(shop: ShopServer, *pages: Page) -> None:
    """Wait until pages show all that was committed: what they show last is written now."""
    shop.run_sql(f"update shop_product set stock = 7777 where sku = '{RADIO}'")
    for page in pages:
        expect(cell_of(page, RADIO, "stock")).to_have_text("7777")


def test_the_page_goes_on_by_itself_after_the_server_was_killed(
    page: Page, shop: ShopServer
) -> None:
    connection = page.locator("[data-connection]")
    shop.kill()
    expect(connection).to_have_text("Reconnecting…")
    shop.run_sql(f"update shop_product set stock = 5151 where sku = '{RADIO}'")
    shop.run_sql("delete from shop_product where sku = 'AUD-062'")
    shop.start()
    expect(connection).to_have_attribute("data-connection", "live", timeout=30_000)
    expect(cell_of(page, RADIO, "stock")).to_have_text("5151")
    expect(row_of(page, "AUD-062")).to_have_count(0)
    shop.run_sql(f"update shop_product set stock = 6161 where sku = '{RADIO}'")
    expect(cell_of(page, RADIO, "stock")).to_have_text("6161")


def test_an_edit_in_the_admin_shows(window: BrowserContext, page: Page) -> None:
    with window.expect_page() as opened:
        page.get_by_role("link", name="Admin").click()
    admin = opened.value
    admin.get_by_label("Username").fill("demo")
    admin.get_by_label("Password").fill("demo")
    admin.get_by_role("button", name="Log in").click()
    admin.locator("#searchbar").fill(RADIO)
    admin.get_by_role("button", name="Search").click()
    expect(admin.locator("#result_list tbody tr")).to_have_count(1)
    admin.locator("#id_form-0-price").fill("55.25")
    admin.get_by_role("button", name="Save").first.click()
    expect(cell_of(page, RADIO, "price")).to_have_text("€55.25")
    expect(admin.get_by_text("1 product was changed successfully.")).to_be_visible()
