"""Who is at the other end of a WebSocket: tokens, their end, logouts, and what that does."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from rest_framework_simplejwt.tokens import AccessToken

from tests.conftest import MakeServer, program_on
from tests.support.program import Program
from tests.support.server import Server
from tests.support.talk import Talk, talking


def jwt(user: int, seconds: float = 600, **claims: Any) -> str:
    token = AccessToken()
    token["user_id"] = str(user)
    token.set_exp(lifetime=datetime.timedelta(seconds=seconds))
    for name, value in claims.items():
        token[name] = value
    return str(token)


def add_token(program: Program, user: int, key: str = "k" * 40) -> str:
    program.run("INSERT INTO authtoken_token VALUES (?, '2026-01-01', ?)", key, user)
    return key


@pytest.fixture
def users(program: Program) -> Program:
    """Ann (1) and Bob (2), and two products."""
    program.log_in("ann")
    program.log_in("bob")
    program.add_products(2)
    return program


async def prove(talk: Talk, token: str) -> Any:
    """Say $auth, and return the answer's data, past what else is told."""
    await talk.say("$auth", token=token)
    await talk.hear()
    await talk.until(lambda: talk.heard[-1]["event"] == "$auth")
    return talk.heard[-1]["data"]


async def error_of(talk: Talk, event: str) -> str:
    await talk.say(event)
    data = await talk.hear_data(event)
    assert data["action"] == "error", data
    code: str = data["payload"]["code"]
    return code


class TestTokens:
    async def test_drf_s_token_is_proof_without_an_end(
        self, server: Server, users: Program
    ) -> None:
        key = add_token(users, 1)
        async with talking(server.ws) as talk:
            assert await error_of(talk, "members") == "unauthenticated"
            assert await prove(talk, key) == {"expires": None}
            assert (await talk.follow("members")).column("id") == [1, 2]

    async def test_a_jwt_is_proof_until_it_ends(self, server: Server, users: Program) -> None:
        async with talking(server.ws) as talk:
            data = await prove(talk, jwt(1, 600))
            assert 590 <= data["expires"] <= 600
            await talk.follow("members")

    @pytest.mark.parametrize("scheme", ["Token", "Bearer"])
    async def test_a_token_with_its_scheme_is_a_whole_header(
        self, server: Server, users: Program, scheme: str
    ) -> None:
        token = add_token(users, 1) if scheme == "Token" else jwt(1)
        async with talking(server.ws) as talk:
            assert "expires" in await prove(talk, f"{scheme} {token}")
            other = {"Token": "Bearer", "Bearer": "Token"}[scheme]
            assert (await prove(talk, f"{other} {token}"))["payload"]["code"] == "unauthenticated"

    async def test_a_token_s_claims_are_request_auth(self, server: Server, users: Program) -> None:
        async with talking(server.ws) as talk:
            await prove(talk, jwt(1, scope="orders"))
            assert await error_of(talk, "scoped") == "forbidden"
            await prove(talk, jwt(1, scope="orders products"))
            await talk.follow("scoped")

    @pytest.mark.parametrize(
        "token",
        [
            *("wrong", "", "Basic YW5uOmFubg==", "x" * 5000, "Bearer", "a b c", "\x00\n\r", "ünï"),
            *(
                "日本語",
                "Bearer 日本語",
                "\ud800",
                "Token \ud800",
                "\x00",
                "é" * 100_000,
                "x" * 10**6,
            ),
        ],
        ids=lambda token: ascii(token)[:20],
    )
    async def test_a_wrong_token_changes_nothing(
        self, server: Server, users: Program, token: str
    ) -> None:
        async with talking(server.ws) as talk:
            await prove(talk, add_token(users, 1))
            await talk.follow("members")
            data = await prove(talk, token)
            assert data["payload"]["code"] == "unauthenticated"
            assert talk.heard[-2]["event"] == "members"
            users.add_products(1, first=3)
            await talk.until(lambda: talk.following("members").column("id") == [1, 2, 3])
        assert "Traceback" not in server.log.read_text()

    @pytest.mark.parametrize("token", ["5", "[]", "{}", "true", '["a"]', '{"a": "b"}', "1e99"])
    async def test_what_is_no_string_is_no_token(self, server: Server, token: str) -> None:
        async with talking(server.ws) as talk:
            await talk.say_text(f'{{"event": "$auth", "data": {{"token": {token}}}}}')
            data = await talk.hear_data("$auth")
            assert data["payload"]["code"] == "malformed"

    async def test_an_expired_one_and_one_of_an_inactive_user_are_none(
        self, server: Server, users: Program
    ) -> None:
        users.run("UPDATE auth_user SET is_active = 0 WHERE id = 2")
        async with talking(server.ws) as talk:
            for token in (jwt(1, -5), jwt(2), add_token(users, 2), jwt(77)):
                assert (await prove(talk, token))["payload"]["code"] == "unauthenticated"

    async def test_what_is_said_after_a_token_is_said_as_its_user(
        self, server: Server, users: Program
    ) -> None:
        async with talking(server.ws) as talk:
            await talk.say("$auth", token=jwt(1))
            await talk.say("members")
            assert (await talk.hear())["event"] == "$auth"
            assert (await talk.hear())["event"] == "$subscribed"

    async def test_trying_tokens_uses_up_the_allowance_of_messages(
        self, make_server: MakeServer
    ) -> None:
        server = make_server(MAX_MESSAGES_BURST=60, MAX_MESSAGES_PER_SECOND=0.1).start()
        async with talking(server.ws) as talk:
            for _ in range(3):
                assert (await prove(talk, "wrong"))["payload"]["code"] == "unauthenticated"
            await talk.say("$auth", token="wrong")
            assert (await talk.hear_data("$auth"))["payload"]["code"] == "rate_limited"


class TestChanging:
    async def test_nobody_who_becomes_somebody_keeps_what_is_theirs(
        self, server: Server, users: Program
    ) -> None:
        users.run("INSERT INTO app_category VALUES (1, 'a')")
        users.run("UPDATE app_product SET category_id = 1 WHERE id = 2")
        users.run("INSERT INTO app_membership (user_id, category_id) VALUES (1, 1)")
        async with talking(server.ws) as talk:
            products, mine = await talk.follow("products"), await talk.follow("mine")
            assert mine.column("id") == []
            await prove(talk, jwt(1))
            await talk.until(lambda: mine.column("id") == [2])
            assert mine.actions == ["sync", "sync"]
            assert products.actions == ["sync"]

    async def test_another_user_s_token_ends_all_subscriptions_first(
        self, server: Server, users: Program
    ) -> None:
        async with talking(server.ws) as talk:
            await prove(talk, jwt(1))
            await talk.follow("products")
            await talk.say("$auth", token=jwt(2))
            ended = await talk.hear_data("products")
            assert ended == {"action": "disconnect", "code": "revoked"}
            assert (await talk.hear_data("$auth"))["expires"] > 0
            await talk.follow("members")

    async def test_renewing_sends_nothing_where_nothing_changes(
        self, server: Server, users: Program
    ) -> None:
        async with talking(server.ws) as talk:
            await prove(talk, jwt(1, scope="products"))
            scoped = await talk.follow("scoped")
            await talk.follow("members")
            await prove(talk, jwt(1, scope="products and more"))
            await talk.ping()
            await talk.silence(0.1)
            users.add_products(1, first=3)
            await talk.until(lambda: scoped.column("id") == [1, 2, 3])
            await talk.until(lambda: talk.following("members").column("id") == [1, 2, 3])
            assert scoped.actions == ["sync", "create"]

    async def test_renewing_with_fewer_claims_ends_what_they_do_not_allow(
        self, server: Server, users: Program
    ) -> None:
        async with talking(server.ws) as talk:
            await prove(talk, jwt(1, scope="products"))
            await talk.follow("scoped")
            await talk.follow("members")
            await talk.say("$auth", token=jwt(1, scope="none"))
            assert "expires" in await talk.hear_data("$auth")
            assert await talk.hear_data("scoped") == {"action": "disconnect", "code": "revoked"}
            assert await error_of(talk, "scoped") == "forbidden"
            await talk.ping()
            assert talk.heard[-2]["event"] == "scoped"

    async def test_a_subscription_that_is_being_opened_is_evaluated_too(
        self, server: Server, users: Program
    ) -> None:
        async with talking(server.ws) as talk:
            await prove(talk, jwt(1, scope="products"))
            await talk.say("scoped")
            await talk.say("$auth", token=jwt(1, scope="none"))
            await talk.until(lambda: talk.heard[-1]["data"].get("code") == "revoked")


class TestEnding:
    async def test_the_end_of_a_token_ends_all_and_leaves_nobody(
        self, server: Server, users: Program
    ) -> None:
        async with talking(server.ws) as talk:
            await prove(talk, jwt(1, 3))
            await talk.follow("members")
            ended = await talk.hear_data("members")
            assert ended == {"action": "disconnect", "code": "expired"}
            assert await error_of(talk, "members") == "unauthenticated"
            await talk.follow("products")
            await prove(talk, jwt(1))
            await talk.follow("members")

    async def test_a_token_that_is_renewed_in_time_does_not_end(
        self, server: Server, users: Program
    ) -> None:
        async with talking(server.ws) as talk:
            await prove(talk, jwt(1, 4))
            members = await talk.follow("members")
            await prove(talk, jwt(1, 600))
            await talk.silence(4.5)
            assert members.actions == ["sync"]

    async def test_a_logout_elsewhere_revokes_within_the_stated_time(
        self, make_server: MakeServer
    ) -> None:
        server = make_server(REVALIDATE_SECONDS=0.5).start()
        program = program_on(server)
        async with talking(server.ws, program.log_in("ann")) as talk:
            await talk.follow("members")
            await talk.silence(1.2)
            program.run("DELETE FROM django_session")
            assert await talk.hear_data("members") == {"action": "disconnect", "code": "revoked"}
            assert await error_of(talk, "members") == "unauthenticated"
        program.close()

    @pytest.mark.parametrize("proof", ["session", "token"])
    async def test_whose_row_is_changed_is_still_the_same(
        self, make_server: MakeServer, proof: str
    ) -> None:
        server = make_server(REVALIDATE_SECONDS=0.3).start()
        program = program_on(server)
        headers = program.log_in("ann")
        async with talking(server.ws, headers if proof == "session" else {}) as talk:
            if proof == "token":
                await prove(talk, add_token(program, 1))
            members = await talk.follow("members")
            program.run("UPDATE auth_user SET last_login = '2026-01-01', first_name = 'Ann'")
            await talk.silence(1)
            token = {} if proof == "session" else {"token": "k" * 40}
            await talk.say("$auth", **token)
            await talk.hear_data("$auth")
            await talk.ping()
            assert members.actions == ["sync"]
        program.close()

    @pytest.mark.parametrize(
        "withdraw",
        [
            "DELETE FROM authtoken_token",
            "UPDATE auth_user SET is_active = 0",
            "DELETE FROM authtoken_token WHERE user_id = 1",
        ],
    )
    async def test_a_token_that_is_withdrawn_is_no_proof_any_more(
        self, make_server: MakeServer, withdraw: str
    ) -> None:
        server = make_server(REVALIDATE_SECONDS=0.5).start()
        program = program_on(server)
        program.log_in("ann")
        async with talking(server.ws) as talk:
            await prove(talk, add_token(program, 1))
            await talk.follow("members")
            program.run(withdraw)
            assert await talk.hear_data("members") == {"action": "disconnect", "code": "revoked"}
        program.close()

    async def test_a_new_password_ends_what_the_old_one_opened(
        self, make_server: MakeServer
    ) -> None:
        server = make_server(REVALIDATE_SECONDS=0.5).start()
        program = program_on(server)
        async with talking(server.ws, program.log_in("ann")) as talk:
            await talk.follow("members")
            program.run("UPDATE auth_user SET password = 'another'")
            assert await talk.hear_data("members") == {"action": "disconnect", "code": "revoked"}
        program.close()

    async def test_a_database_that_is_away_ends_nothing(self, make_server: MakeServer) -> None:
        server = make_server(REVALIDATE_SECONDS=0.3).start()
        program = program_on(server)
        async with talking(server.ws, program.log_in("ann")) as talk:
            members = await talk.follow("members")
            program.run("ALTER TABLE django_session RENAME TO moved")
            await talk.silence(1)
            program.run("ALTER TABLE moved RENAME TO django_session")
            await talk.ping()
            assert members.actions == ["sync"]
        program.close()

    async def test_a_logout_in_this_process_revokes_at_once(
        self, server: Server, users: Program
    ) -> None:
        headers = users.log_in("cleo")
        async with talking(server.ws, headers) as talk, talking(server.ws) as other:
            await talk.follow("members")
            await other.follow("products")
            from tests.servers.transports.test_rest import ask

            assert ask(server, "/logout/", "POST", **headers).status == 204
            assert await talk.hear_data("members") == {"action": "disconnect", "code": "revoked"}
            await other.silence(0.1)


class TestHandshakes:
    @pytest.mark.parametrize("scheme", ["Token", "Bearer"])
    async def test_an_authorization_header_is_proof(
        self, server: Server, users: Program, scheme: str
    ) -> None:
        token = add_token(users, 1) if scheme == "Token" else jwt(1)
        async with talking(server.ws, {"Authorization": f"{scheme} {token}"}) as talk:
            await talk.follow("members")

    @pytest.mark.parametrize("header", ["Token wrong", "Bearer wrong"])
    async def test_a_wrong_one_is_4401(self, server: Server, users: Program, header: str) -> None:
        async with talking(server.ws, {"Authorization": header}) as talk:
            assert await talk.closed() == 4401

    @pytest.mark.parametrize("header", ["Basic YTpi", "Negotiate abc", "Basic"])
    async def test_what_a_proxy_wanted_is_no_business_of_ours(
        self, server: Server, users: Program, header: str
    ) -> None:
        cookie = {"Cookie": "sessionid=sessionofann".ljust(42, "0")}
        async with talking(server.ws, {"Authorization": header, **cookie}) as talk:
            await talk.follow("members")

    async def test_a_header_s_token_ends_like_any(self, server: Server, users: Program) -> None:
        async with talking(server.ws, {"Authorization": f"Bearer {jwt(1, 2)}"}) as talk:
            await talk.follow("members")
            assert (await talk.hear_data("members"))["code"] == "expired"

    async def test_a_session_that_cannot_be_read_is_1013_and_no_failed_handshake(
        self, server: Server, users: Program
    ) -> None:
        headers = users.log_in("cleo")
        users.run("ALTER TABLE django_session RENAME TO moved")
        try:
            async with talking(server.ws, headers, subprotocols=["bindserver.v1"]) as talk:
                assert talk.socket.subprotocol == "bindserver.v1"
                assert await talk.closed() == 1013
            async with talking(server.ws) as talk:  # who has no session is welcome
                await talk.follow("products")
        finally:
            users.run("ALTER TABLE moved RENAME TO django_session")
        async with talking(server.ws, headers) as talk:
            await talk.follow("members")


class TestAFunctionOfOneSOwn:
    async def test_it_may_be_sync_and_say_all(self, make_server: MakeServer) -> None:
        server = make_server(
            AUTHENTICATE="tests.app.tickets.by_ticket", REVALIDATE_SECONDS=0.2
        ).start()
        program = program_on(server)
        program.log_in("ann")
        async with talking(server.ws) as talk:
            assert await prove(talk, "1:ann:2") == {"expires": 2}
            await talk.follow("scoped")
            assert (await prove(talk, "1:ann:2"))["payload"]["code"] == "unauthenticated"
            assert (await prove(talk, "2:bob"))["payload"]["code"] == "unauthenticated"
            broken = await prove(talk, "break")
            assert broken["payload"]["code"] == "unavailable"
            assert "secret" not in json.dumps(broken)
            # A ticket is good for one look, and so is not looked at again.
            assert (await talk.hear_data("scoped"))["code"] == "expired"
        async with talking(server.ws, {"Authorization": "Ticket 3:ann"}) as talk:
            await talk.follow("scoped")
            await talk.silence(0.6)
        program.close()

    async def test_one_that_takes_too_long_is_told_to_try_later(
        self, make_server: MakeServer
    ) -> None:
        server = make_server(
            AUTHENTICATE="tests.app.tickets.by_ticket", AUTHENTICATE_SECONDS=0.2
        ).start()
        async with talking(server.ws) as talk, talking(server.ws) as other:
            await talk.say("$auth", token="slow")
            await talk.say("products")
            await other.follow("products")  # nobody else waits
            assert (await talk.hear_data("$auth"))["payload"]["code"] == "unavailable"
            assert (await talk.hear())["event"] == "$subscribed"

    async def test_it_may_be_async_and_look_at_headers(self, make_server: MakeServer) -> None:
        server = make_server(AUTHENTICATE="tests.app.tickets.by_name").start()
        program = program_on(server)
        program.log_in("ann")
        async with talking(server.ws) as talk:
            assert (await prove(talk, "ann"))["payload"]["code"] == "unauthenticated"
        async with talking(server.ws, {"X-Door": "open"}) as talk:
            assert await prove(talk, "ann") == {"expires": None}
            await talk.follow("members")
        program.close()
