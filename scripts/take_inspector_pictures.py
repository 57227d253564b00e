"""Take the pictures of docs/inspector.md: python scripts/take_inspector_pictures.py URL FOLDER.

URL is that of a demo that runs in debug mode (`make run`). Some visitors come, one row is taken out
of the shop by hand, and the inspector is asked why it is gone; then it is put back.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, expect, sync_playwright

ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
LOOKED_FOR = ("", "oak", "lamp", "linen")
PATIENCE_MS = 60_000


def main(url: str, folder: Path) -> None:
    """Come as visitors and as staff, and save what is seen."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=ARGS
        )
        visitors = browser.new_context()
        for text in LOOKED_FOR:
            page = visitors.new_page()
            page.goto(f"{url}?q={text}", timeout=PATIENCE_MS)
            page.locator("#rows tr").first.wait_for(timeout=PATIENCE_MS)
        page = _inspector(browser, url, 1280, 900, "light")
        expect(page.locator("#views tbody tr").nth(2)).to_be_visible()
        page.screenshot(path=folder / "inspector.png")
        _why(browser, url, folder / "inspector-why.png")
        browser.close()


def _inspector(
    browser: Browser, url: str, width: int, height: int, scheme: Literal["light", "dark"]
) -> Page:
    """Log in at the admin, to which the inspector leads, and wait until it is live."""
    window = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    window.set_default_timeout(PATIENCE_MS)
    page = window.new_page()
    page.goto(f"{url}bindserver/")
    page.locator("#id_username").fill("demo")
    page.locator("#id_password").fill("demo")
    page.locator("#id_password").press("Enter")
    expect(page.locator("#status")).to_have_text("live")
    return page


def _why(browser: Browser, url: str, file: Path) -> None:
    """Have a product be inactive for a moment, and ask on a phone why it is gone."""
    page = _inspector(browser, url, 430, 900, "dark")
    admin = page.context.new_page()
    _set_active(admin, url, active=False)
    page.locator("#views .name", has_text="products").first.click()
    page.locator("#why-row").fill("1")
    page.get_by_role("button", name="Why is it in or out?").click()
    expect(page.locator("#answer .verdict")).to_contain_text("is out")
    page.locator("#detail").screenshot(path=file)
    _set_active(admin, url, active=True)


def _set_active(page: Page, url: str, *, active: bool) -> None:
    page.goto(f"{url}admin/shop/product/1/change/")
    page.locator("#id_active").set_checked(active)
    page.locator("[name=_save]").first.click()
    page.locator(".success").wait_for()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
