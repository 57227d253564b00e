"""Requests for event streams, and what is left of them."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.test import AsyncRequestFactory, RequestFactory
from rest_framework.authentication import BaseAuthentication, BasicAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from bindserver.clients import identity
from bindserver.clients.connections import connections
from bindserver.clients.seats import seats
from bindserver.http import own_connection
from bindserver.http.api import SeveralStream, SnapshotView
from bindserver.http.open_streams import open_streams
from bindserver.http.streaming import EVENT_STREAM, _credentials_of, wanted
from bindserver.hub.hub import hub


@pytest.fixture
async def serving(database: Any) -> AsyncIterator[None]:
    """Stop the hub behind the test; nothing may be left of its clients."""
    yield
    await asyncio.sleep(0.05)
    left = (len(open_streams._all), len(connections.all()), seats._all, len(identity._connected))
    await sync_to_async(hub.stop)()
    assert left == (0, 0, 0, 0)


def requested(method: str = "get", query: str = "", accept: str = EVENT_STREAM) -> Any:
    return getattr(AsyncRequestFactory(), method)(f"/{query}", headers={"accept": accept})


async def answered(request: Any, view: Any = SnapshotView, **kwargs: Any) -> Any:
    response = await sync_to_async(view.as_view())(request, **kwargs)
    rendered = response.render()
    return await rendered if asyncio.iscoroutine(rendered) else rendered


def of_several(*wanted: Any) -> Any:
    from urllib.parse import urlencode

    return requested(query=f"?{urlencode({'subscribe': json.dumps(wanted)})}")


async def test_one_who_asks_for_headers_alone_gets_no_stream(serving: None) -> None:
    answer = await answered(requested("head"), event="products")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, EVENT_STREAM)
    assert [chunk async for chunk in answer] == []


async def test_what_else_there_is_to_tell_is_told_as_json(serving: None) -> None:
    answer = await answered(requested("options"), event="products")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("tells", ["stands_elsewhere", "_asks_thread"])
async def test_there_is_no_stream_where_the_request_means_other_rows(
    serving: None, monkeypatch: pytest.MonkeyPatch, tells: str, several: bool
) -> None:
    monkeypatch.setattr(own_connection, tells, lambda _, **__: True)
    if several:
        answer = await answered(of_several({"event": "products"}), SeveralStream)
    else:
        answer = await answered(requested(), event="products")
    assert (answer.status_code, answer.streaming) == (406, False)


def test_a_stream_of_several_is_outside_of_the_transaction_of_atomic_requests() -> None:
    assert "default" in SeveralStream.as_view()._non_atomic_requests


@pytest.mark.parametrize("cursor", ["a,b", "a\nevent: sync\ndata: 1", "\ud800", "x" * 600])
async def test_what_is_no_cursor_is_in_no_id(serving: None, cursor: str) -> None:
    asked = of_several({"event": "nothing", "cursor": cursor}, {"event": "products"})
    answer = await answered(asked, SeveralStream)
    text = b""
    async for chunk in answer:
        text += chunk
        if b"id: " in text:
            break
    await sync_to_async(answer.close)()
    ids = [line for line in text.splitlines() if line.startswith(b"id: ")]
    assert [line.count(b",") for line in ids] == [1]
    assert ids[0].startswith(b"id: ,")


async def test_an_event_that_is_no_text_is_refused(serving: None) -> None:
    answer = await answered(of_several({"event": "\ud800"}), SeveralStream)
    assert answer.status_code in (400, 404)


async def test_the_format_is_asked_for_as_the_project_says(
    serving: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rest_framework.settings import api_settings

    monkeypatch.setattr(api_settings, "URL_FORMAT_OVERRIDE", "as")
    monkeypatch.setattr(
        SnapshotView.content_negotiation_class, "settings", api_settings, raising=False
    )
    answer = await answered(requested("head", "?as=event-stream", "*/*"), event="products")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, EVENT_STREAM)


async def test_of_those_who_leave_before_they_are_accepted_nothing_is_left(serving: None) -> None:
    for pause in (0, 0, 0.001, 0.003, 0.01, 0.03):
        view = sync_to_async(SnapshotView.as_view())
        response = await view(requested(), event="products")
        task = asyncio.create_task(response.render())
        await asyncio.sleep(pause)
        if not task.cancel():
            await sync_to_async((await task).close)()
        else:
            with pytest.raises(asyncio.CancelledError):
                await task


class ByMiddleware(BaseAuthentication):
    """Takes whom the project's middleware has found, without CSRF, as many projects do."""

    def authenticate(self, request: Any) -> Any:
        user = request._request.user
        return (user, None) if user.is_authenticated else None


def test_whom_an_authenticator_takes_from_the_session_is_looked_up_again() -> None:
    plain: Any = requested()
    plain.session = SessionStore()
    plain.user = plain._cached_user = User(pk=1)
    request = Request(plain, authenticators=[ByMiddleware()])
    assert request.user.is_authenticated
    credentials, _ = _credentials_of(request)
    assert credentials.again is not None
    assert credentials.again() is None


PASSWORD = b64encode(b"ann:first").decode()


class TestAPassword:
    """It is hashed when a stream opens, and not each time that it is looked at again."""

    @pytest.fixture
    def ann(self, database: Path, settings: Any) -> Any:
        settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
        return User.objects.create_user("ann", password="first")

    def shown(self, by: BaseAuthentication) -> Any:
        plain = RequestFactory().get("/", HTTP_AUTHORIZATION="Basic " + PASSWORD)
        request = Request(plain, authenticators=[by])
        assert request.user.is_authenticated
        credentials, _ = _credentials_of(request)
        assert credentials.again is not None
        return credentials.again

    @pytest.fixture
    def checks(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        usual, made = User.check_password, []

        def check_password(user: Any, given: str) -> bool:
            made.append(given)
            return bool(usual(user, given))

        monkeypatch.setattr(User, "check_password", check_password)
        return made

    def test_is_checked_once(self, ann: Any, checks: list[str]) -> None:
        again = self.shown(BasicAuthentication())
        assert [again() for _ in range(3)] == [(ann, None)] * 3
        assert checks == ["first"]

    def test_is_checked_again_where_the_row_has_another(self, ann: Any, checks: list[str]) -> None:
        again = self.shown(BasicAuthentication())
        ann.set_password("second")
        ann.save()
        with pytest.raises(AuthenticationFailed):
            again()
        ann.set_password("first")  # by another salt
        ann.save()
        assert again() == (ann, None)

    def test_is_of_no_use_to_who_is_active_no_more(self, ann: Any) -> None:
        again = self.shown(BasicAuthentication())
        User.objects.update(is_active=False)
        with pytest.raises(AuthenticationFailed):
            again()

    def test_is_checked_each_time_by_an_authenticator_of_the_project_s(
        self, ann: Any, checks: list[str]
    ) -> None:
        class Also(BasicAuthentication):
            def authenticate_credentials(self, *args: Any) -> Any:
                return super().authenticate_credentials(*args)

        assert self.shown(Also())() == (ann, None)
        assert checks == ["first"] * 2

    def test_is_checked_each_time_where_no_row_may_have_it(
        self, ann: Any, checks: list[str], settings: Any
    ) -> None:
        settings.AUTHENTICATION_BACKENDS = [f"{__name__}.Directory"]
        assert self.shown(BasicAuthentication())() == (ann, None)
        assert checks == ["first"] * 2


class Directory(ModelBackend):
    """Knows passwords of its own."""

    def authenticate(self, *args: Any, **kwargs: Any) -> Any:
        return super().authenticate(*args, **kwargs)


async def test_a_session_in_another_schema_is_refused_and_one_that_is_not_is_served(
    serving: None,
) -> None:
    from django.db import connection

    def say(statement: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)

    await sync_to_async(say)("CREATE TEMP TABLE app_product AS SELECT * FROM main.app_product")
    assert (await answered(requested("head"), event="products")).status_code == 406
    await sync_to_async(lambda: connection.close())()
    assert (await answered(requested("head"), event="products")).status_code == 200


def test_a_cursor_beside_the_only_event_counts() -> None:
    plain = of_several({"event": "products", "cursor": "a"})
    assert [message.cursor for message in wanted(Request(plain))] == ["a"]
    plain.META["HTTP_LAST_EVENT_ID"] = "b"
    del plain.headers
    assert [message.cursor for message in wanted(Request(plain))] == ["b"]


async def test_who_would_take_any_text_is_given_rows_that_end(serving: None) -> None:
    view = sync_to_async(SnapshotView.as_view(renderer_classes=(JSONRenderer,)))
    response = await view(requested(accept="text/*, */*;q=0.1"), event="products")
    answer = await response.render()
    assert (answer.status_code, answer.content) == (200, b"[]")
    assert "Accept" in answer.headers["Vary"].split(", ")


def test_what_middleware_has_hung_on_a_user_of_the_session_holds_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from django.contrib.auth.models import User

    plain: Any = requested()
    plain.session = SessionStore()
    plain.user = plain._cached_user = User(pk=1)
    plain.user.tenants = ["acme"]
    request = Request(plain, authenticators=[ByMiddleware()])
    assert request.user.is_authenticated
    credentials, _ = _credentials_of(request)
    monkeypatch.setattr("bindserver.http.streaming.user_in", lambda _: User(pk=1))
    assert credentials.again is not None
    user, _ = credentials.again()
    assert user.tenants == ["acme"]
    monkeypatch.setattr("bindserver.http.streaming.user_in", lambda _: User(pk=2))
    user, _ = credentials.again()
    assert user.pk == 2


async def test_a_stream_that_cannot_go_on_tells_the_log_why_and_ends(
    serving: None, caplog: pytest.LogCaptureFixture
) -> None:
    response = await answered(requested(), event="tags")
    [stream] = open_streams.all()
    try:
        raise ArithmeticError("an event that nobody can take")
    except ArithmeticError:
        stream.fail()
    assert b"event:" not in b"".join([part async for part in response])
    assert "an event that nobody can take" in caplog.text
    assert not open_streams.all()
