"""A real server loses a change: its audit finds that, and the client is given the right rows."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

from tests.conftest import EVERY_DATABASE, MakeServer, program_on
from tests.support.metrics import scraped_until
from tests.support.process import PATIENCE_SECONDS
from tests.support.talk import talking

pytestmark = EVERY_DATABASE


async def test_a_change_that_was_lost_is_found_healed_counted_and_told_once(
    make_server: MakeServer, tmp_path: Path
) -> None:
    file = tmp_path / "fault"
    environment = {
        "DJANGO_SETTINGS_MODULE": "tests.support.faulty_settings",
        "PLANTED_FAULT": "next_changes_lost",
        "FAULT_FILE": str(file),
    }
    server = make_server(
        environment=environment,
        AUDIT_SHARE=1,
        COMPARE_SECONDS=0.2,
        METRICS_ALLOW=["127.0.0.1"],
    )
    with closing(program_on(server)) as program:
        program.add_products(3)
        with server:
            async with talking(server.ws) as talk:
                products = await talk.follow("products")
                quiet = await scraped_until(server, lambda m: m.value("audit_views_total") > 3)
                assert quiet.value("audit_differences_total") == 0
                file.touch()
                program.run("UPDATE app_product SET name = 'a secret' WHERE id = 2")
                await talk.until(lambda: products.column("name")[1] == "a secret")
                assert not file.exists()  # it was lost, and found
                program.run("UPDATE app_product SET name = 'seen' WHERE id = 3")
                await talk.until(lambda: products.column("name")[2] == "seen")
                assert products.actions == ["sync", "update", "update"]
            labels = {"event": "products", "kind": "outdated"}
            await scraped_until(server, lambda m: m.value("audit_differences_total", **labels) == 1)
        log = server.log.read_text()
    assert log.count("an audit has found that a view of products") == 1
    assert "1 outdated (2)" in log
    assert "a secret" not in log


async def test_without_an_audit_nobody_finds_it(make_server: MakeServer, tmp_path: Path) -> None:
    file = tmp_path / "fault"
    environment = {
        "DJANGO_SETTINGS_MODULE": "tests.support.faulty_settings",
        "PLANTED_FAULT": "next_changes_lost",
        "FAULT_FILE": str(file),
    }
    server = make_server(environment=environment, AUDIT_SHARE=0, COMPARE_SECONDS=0.2)
    with closing(program_on(server)) as program:
        program.add_products(3)
        with server:
            async with talking(server.ws) as talk:
                products = await talk.follow("products")
                file.touch()
                program.run("UPDATE app_product SET name = 'lost' WHERE id = 2")
                async with asyncio.timeout(PATIENCE_SECONDS):
                    while file.exists():
                        await asyncio.sleep(0.01)
                program.run("UPDATE app_product SET name = 'seen' WHERE id = 3")
                await talk.until(lambda: products.column("name")[2] == "seen")
                assert products.column("name")[1] != "lost"
