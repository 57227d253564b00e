"""Take the README's picture of the demo: python scripts/take_screenshot.py URL FILE."""

from __future__ import annotations

import os
import sys

from playwright.sync_api import sync_playwright

ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]


def main(url: str, file: str) -> None:
    """Open the page, wait until rows move, and save what is seen."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=ARGS
        )
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(url)
        page.locator("#busy").click()
        page.wait_for_timeout(6000)
        page.screenshot(path=file)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
