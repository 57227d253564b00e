"""Coming back: with a cursor and the held keys, a client gets exactly what it missed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
from typing import Any

from tests.conftest import EVERY_DATABASE, MakeServer, program_on
from tests.settings import SECRET_KEY
from tests.support.program import Program
from tests.support.server import Server
from tests.support.talk import Following, talking

pytestmark = EVERY_DATABASE


def told(following: Following) -> list[tuple[str, Any]]:
    """Return the action and key of everything that a subscription was told so far."""
    found = []
    for frame in following.frames:
        if frame["action"] == "batch":
            found += [(c["action"], c["payload"]["id"]) for c in frame["payload"]]
        elif frame["action"] in ("sync", "ok", "stale"):
            found.append((frame["action"], None))
        else:
            found.append((frame["action"], frame["payload"]["id"]))
    return found


async def resume(server: Server, event: str, old: Following, **data: Any) -> Following:
    """Subscribe anew on another connection with what an older subscription came to."""
    async with talking(server.ws) as talk:
        return await talk.follow(event, cursor=old.cursor, held=old.replica.held, **data)


class TestTheDifference:
    async def test_is_ok_when_nothing_happened(self, server: Server, program: Program) -> None:
        program.add_products(3)
        async with talking(server.ws) as talk:
            old = await talk.follow("products")
        again = await resume(server, "products", old)
        assert told(again) == [("ok", None)]
        assert again.cursor

    async def test_has_the_changed_rows_and_no_others(
        self, server: Server, program: Program
    ) -> None:
        program.add_products(100)
        async with talking(server.ws) as talk:
            old = await talk.follow("products")
        program.run("UPDATE app_product SET stock = 5 WHERE id = 50")
        program.run("DELETE FROM app_product WHERE id = 7")
        program.add_products(1, first=101)
        again = await resume(server, "products", old)
        assert told(again) == [("delete", 7), ("update", 50), ("create", 101)]
        assert told(await resume(server, "products", old)) == told(again)

    async def test_leads_on_to_the_next_frames(self, server: Server, program: Program) -> None:
        program.add_products(2)
        async with talking(server.ws) as talk:
            old = await talk.follow("products")
        program.run("UPDATE app_product SET stock = 5 WHERE id = 1")
        async with talking(server.ws) as talk:
            again = await talk.follow("products", cursor=old.cursor, held=old.replica.held)
            program.run("UPDATE app_product SET stock = 6 WHERE id = 2")
            await talk.until(lambda: len(again.frames) == 2)
            assert told(again) == [("update", 1), ("update", 2)]

    async def test_of_a_row_that_came_and_went_is_nothing(
        self, server: Server, program: Program
    ) -> None:
        program.add_products(2)
        async with talking(server.ws) as talk:
            old = await talk.follow("products")
        program.add_products(1, first=3)
        program.run("DELETE FROM app_product WHERE id = 3")
        assert told(await resume(server, "products", old)) == [("ok", None)]

    async def test_of_what_left_by_the_filter_is_a_delete(
        self, server: Server, program: Program
    ) -> None:
        program.add_products(2)
        async with talking(server.ws) as talk:
            old = await talk.follow("products")
        program.run("UPDATE app_product SET active = 0 WHERE id = 1")
        assert told(await resume(server, "products", old)) == [("delete", 1)]

    async def test_of_keys_that_were_never_ours_names_them_only_as_gone(
        self, server: Server, program: Program
    ) -> None:
        program.add_products(1)
        program.add_products(1, first=2, active=0)
        async with talking(server.ws) as talk:
            old = await talk.follow("products")
        async with talking(server.ws) as talk:
            again = await talk.follow("products", cursor=old.cursor, held=[1, 2, "x"])
            assert told(again) == [("delete", 2), ("delete", "x")]
            assert "product 2" not in json.dumps(talk.heard)

    async def test_without_held_comes_from_recent_history(
        self, server: Server, program: Program
    ) -> None:
        program.add_products(3)
        async with talking(server.ws) as talk:
            old = await talk.follow("products")
            program.run("UPDATE app_product SET stock = 5 WHERE id = 2")
            await talk.until(lambda: len(old.frames) == 2)
            cursor = old.frames[0]["cursor"]
            again = await talk.follow("products", cursor=cursor)
            assert told(again) == [("update", 2)]

    async def test_reaches_through_joined_tables(self, server: Server, program: Program) -> None:
        program.run("INSERT INTO app_category VALUES (1, 'a'), (2, 'b')")
        program.add_products(2, category_id=1)
        program.add_products(2, first=3, category_id=2)
        async with talking(server.ws) as talk:
            old = await talk.follow("catalogue")
        program.run("UPDATE app_category SET name = 'aa' WHERE id = 1")
        again = await resume(server, "catalogue", old)
        assert [key for _, key in told(again)] == [2, 1]


class TestAfterACrash:
    async def test_the_difference_is_exact_and_the_next_is_ok(
        self, make_server: MakeServer
    ) -> None:
        server = make_server().start()
        program = program_on(server)
        program.add_products(200)
        held: list[Any] = []
        async with talking(server.ws) as talk:
            old = await talk.follow("products")
            for number in range(1, 41):
                program.run("UPDATE app_product SET stock = 7 WHERE id = ?", number)
                if number == 20:
                    await talk.until(lambda: old.frames[1:])
                    server.kill()
            held = old.replica.held
        # The server died in the middle of writes; some had arrived, some had not.
        seen = {row["id"] for row in old.replica.rows if row["stock"] == 7}
        program.run("DELETE FROM app_product WHERE id = 100")
        program.add_products(2, first=201)
        with server:
            again = await resume(server, "products", old)
            actions = {key: action for action, key in told(again)}
            assert set(actions) <= set(range(1, 41)) | {100, 201, 202}
            assert set(actions) >= set(range(1, 41)) - seen | {100, 201, 202}
            assert actions[100] == "delete"
            assert actions[201] == actions[202] == "create"
            merged = Following({"key": "id"})
            for frame in (*old.frames, *again.frames):
                merged.take(frame)
            rows = program.run("SELECT id, stock FROM app_product ORDER BY id")
            assert [(row["id"], row["stock"]) for row in merged.replica.rows] == rows
            assert held != merged.replica.held
            assert told(await resume(server, "products", merged)) == [("ok", None)]
        with server:
            assert told(await resume(server, "products", merged)) == [("ok", None)]
        program.close()

    async def test_clients_of_a_killed_server_can_come_at_once(
        self, make_server: MakeServer
    ) -> None:
        server = make_server().start()
        program = program_on(server)
        program.add_products(50)
        async with talking(server.ws) as talk:
            old = await talk.follow("products")
        server.kill()
        program.run("UPDATE app_product SET stock = 1 WHERE id = 9")
        program.close()
        with server:
            found = await asyncio.gather(*(resume(server, "products", old) for _ in range(10)))
            assert all(told(again) == [("update", 9)] for again in found)


class TestWhatProvesNothing:
    async def test_a_forged_cursor_is_as_good_as_none(
        self, server: Server, program: Program
    ) -> None:
        program.add_products(2)
        async with talking(server.ws) as talk:
            cursor = (await talk.follow("products")).cursor
        raw = base64.urlsafe_b64decode(cursor + "==")
        forged = [
            "",
            "x",
            "é" * 10,
            "a" * 511,
            "a" * 5000,
            cursor[:-2],
            cursor + "AA",
            cursor.swapcase(),
            base64.urlsafe_b64encode(raw[:16] + bytes([raw[16] ^ 1]) + raw[17:]).decode(),
            base64.urlsafe_b64encode(bytes(16) + raw[16:]).decode(),
            base64.urlsafe_b64encode(raw[:16]).decode(),
        ]
        body = b'["fp","epoch","1","i",1]'  # as cursors were signed before they were sealed
        mac = hmac.new(SECRET_KEY.encode(), b"bindserver.cursor.1" + body, hashlib.sha256)
        forged.append(base64.urlsafe_b64encode(mac.digest()[:16] + body).rstrip(b"=").decode())
        async with talking(server.ws) as talk:
            for text in forged:
                following = await talk.follow("products", cursor=text, held=[1, 2])
                assert told(following) == [("sync", None)], text

    async def test_a_cursor_of_another_binding_or_params_is_as_good_as_none(
        self, server: Server, program: Program
    ) -> None:
        program.run("INSERT INTO app_category VALUES (1, 'a'), (2, 'b')")
        program.add_products(2, category_id=1)
        async with talking(server.ws) as talk:
            one = await talk.follow("in_category", params={"category": 1})
            products = await talk.follow("products")
        for foreign, params in ((products, {"category": 1}), (one, {"category": 2})):
            again = await resume(server, "in_category", foreign, params=params)
            assert told(again) == [("sync", None)]
        again = await resume(server, "in_category", one, params={"category": "1"})
        assert told(again) == [("ok", None)]

    async def test_a_cursor_of_another_user_s_rows_is_as_good_as_none(
        self, server: Server, program: Program
    ) -> None:
        program.run("INSERT INTO app_category VALUES (1, 'a'), (2, 'b')")
        program.add_products(2, category_id=1)
        ann, bob = program.log_in("ann"), program.log_in("bob")
        program.run("INSERT INTO app_membership (user_id, category_id) VALUES (1, 1), (2, 2)")
        async with talking(server.ws, ann) as talk:
            hers = await talk.follow("mine")
            assert hers.column("id") == [1, 2]
        async with talking(server.ws, bob) as talk:
            his = await talk.follow("mine", cursor=hers.cursor, held=[1, 2])
            assert told(his) == [("sync", None)]
            assert his.replica.rows == []

    async def test_a_cursor_of_another_database_is_as_good_as_none(
        self, server: Server, program: Program, make_server: MakeServer
    ) -> None:
        program.add_products(2)
        async with talking(server.ws) as talk:
            old = await talk.follow("products")
        with make_server() as other:
            elsewhere = program_on(other)
            elsewhere.add_products(5)
            elsewhere.close()
            assert told(await resume(other, "products", old)) == [("sync", None)]

    async def test_a_position_that_was_purged_gives_sync(self, make_server: MakeServer) -> None:
        server = make_server()
        program = program_on(server)
        program.add_products(3)
        with server:
            async with talking(server.ws) as talk:
                old = await talk.follow("products")
        program.add_products(1, first=4)
        program.age(1_000_000)
        printed = server.manage("bindings", "capture", "purge")
        assert re.match(r"Deleted [1-9]\d* entr(y|ies)", printed)
        program.close()
        with server:
            again = await resume(server, "products", old)
            assert told(again) == [("sync", None)]
            assert again.column("id") == [1, 2, 3, 4]
            assert told(await resume(server, "products", again)) == [("ok", None)]

    async def test_who_comes_after_a_purge_can_prove_what_they_were_given(
        self, make_server: MakeServer
    ) -> None:
        """Though the rows that they are sent were made for somebody before the purge."""
        server = make_server(LOG_KEEP_SECONDS=10_000_000)  # it leaves the purge to the command
        program = program_on(server)
        program.add_products(3)
        with server:
            async with talking(server.ws) as talk:
                await talk.follow("products")
                tags = await talk.follow("tags")
                for number in range(1, 6):
                    program.run("INSERT INTO app_tag VALUES (?, 'a')", number)
                await talk.until(lambda: len(tags.replica.held) == 5)
                program.age(1_000_000)
                printed = server.manage("bindings", "capture", "purge", "--keep", "60")
                assert re.match(r"Deleted [1-9]\d* entr(y|ies)", printed)
                async with talking(server.ws) as late:
                    given = await late.follow("products")
        program.close()
        with server:
            assert told(await resume(server, "products", given)) == [("ok", None)]
