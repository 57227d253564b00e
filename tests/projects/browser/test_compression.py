"""Chromium, which offers compression by itself, before a server that compresses."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, WebSocket, expect

from tests.projects.browser.shop_page import cell_of
from tests.projects.browser.shop_server import ShopServer

pytestmark = pytest.mark.browser

RENAME = "update shop_product set name = '{}' where sku = 'AUD-061'"
LISTEN = """
const Own = WebSocket;
window.WebSocket = class extends Own {
    constructor(...given) {
        super(...given);
        this.addEventListener("open", () => { window.agreed = this.extensions; });
    }
};
"""


@pytest.fixture
def shop(seeded_shop: Path, tmp_path: Path) -> Iterator[ShopServer]:
    """A shop whose server compresses."""
    shutil.copytree(seeded_shop, tmp_path, dirs_exist_ok=True)
    server = ShopServer(tmp_path, BINDSERVER_COMPRESSION="1")
    server.start()
    yield server
    server.kill()


def test_a_page_is_sent_compressed_frames_and_shows_what_they_say(
    window: BrowserContext, shop: ShopServer
) -> None:
    said: list[str | bytes] = []

    def hear(connection: WebSocket) -> None:
        connection.on("framereceived", lambda text: said.append(text))

    page = window.new_page()
    page.add_init_script(LISTEN)
    page.on("websocket", hear)
    page.goto(shop.url)
    page.locator("#rows tr").first.wait_for()
    assert "permessage-deflate" in page.evaluate("agreed")
    shop.run_sql(RENAME.format("Radio " * 50))
    expect(cell_of(page, "AUD-061", "name")).to_contain_text("Radio Radio")
    page.close()
    log = shop.folder / "server.log"
    while not (told := re.search(r"connection \w+ ended .* (\d+) bytes", log.read_text())):
        time.sleep(0.05)
    texts = [text for text in said if isinstance(text, str)]
    assert {"sync", "update"} <= {json.loads(text)["data"].get("action") for text in texts}
    assert int(told[1]) < sum(map(len, texts)) / 2
