"""A real Chromium before a real server, each test with a fresh shop."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.projects.browser.shop_page import open_shop
from tests.projects.browser.shop_server import ShopServer
from tests.support.chromium import PATIENCE_MS


@pytest.fixture(scope="session")
def seeded_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop's database, made once and copied for each test."""
    folder = tmp_path_factory.mktemp("seeded")
    ShopServer(folder).prepare()
    return folder


@pytest.fixture
def shop(seeded_shop: Path, tmp_path: Path) -> Iterator[ShopServer]:
    shutil.copytree(seeded_shop, tmp_path, dirs_exist_ok=True)
    server = ShopServer(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def window(chromium: Browser, shop: ShopServer) -> Iterator[BrowserContext]:
    """A browser window of one visitor; a page that raises an error fails the test.

    It closes before the shop is killed: a page that is still loading then raises errors.
    """
    context = chromium.new_context(viewport={"width": 1200, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    errors: list[str] = []
    context.on("weberror", lambda error: errors.append(str(error.error)))
    yield context
    context.close()
    assert errors == []


@pytest.fixture
def page(window: BrowserContext, shop: ShopServer) -> Page:
    """The shop's page, filled."""
    return open_shop(window, shop)
