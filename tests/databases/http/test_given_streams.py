"""Event streams that a project's own views answer with: plain Django's, and django-ninja's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.test import AsyncClient, Client
from django.urls import path
from ninja import NinjaAPI
from ninja.security import HttpBearer

from bindserver import Proof, aevent_stream, event_stream
from bindserver.hub.hub import hub
from tests.app.models import Category, Product
from tests.support.patience import nobody_waits_without_end

api = NinjaAPI(urls_namespace="streams")


class ByName(HttpBearer):
    """Takes a token for a user's name."""

    def authenticate(self, request: HttpRequest, token: str) -> User | None:
        return User.objects.filter(username=token).first()


@api.get("/members", auth=ByName())
def members(request: HttpRequest) -> HttpResponseBase:
    user: Any = request
    return event_stream(request, "members", proof=Proof(user=user.auth))


def plain(request: HttpRequest) -> HttpResponseBase:
    return event_stream(request, "products")


async def of_category(request: HttpRequest, category: str) -> HttpResponseBase:
    return await aevent_stream(request, "in_category", {"category": category})


def for_a_while(request: HttpRequest) -> HttpResponseBase:
    user = User.objects.get()
    return event_stream(request, "members", proof=Proof(user=user, expires=3))


urlpatterns = [
    path("plain/", plain),
    path("category/<category>/", of_category),
    path("members/", lambda request: event_stream(request, "members")),
    path("nothing/", lambda request: event_stream(request, "nothing")),
    path("while/", for_a_while),
    path("api/", api.urls),
]


@pytest.fixture(autouse=True)
async def serving(database: Any, settings: Any) -> AsyncIterator[None]:
    """Have these views be the project's, and stop the hub behind the test."""
    settings.ROOT_URLCONF = __name__
    async with nobody_waits_without_end():
        yield
    await sync_to_async(hub.stop)()


class Stream:
    """What comes by a response."""

    def __init__(self, response: Any) -> None:
        assert response["Content-Type"] == "text/event-stream", response.content
        self._parts = aiter(response)
        self._text = ""

    async def event(self) -> dict[str, str]:
        """Return the next event's fields."""
        while True:
            while "\n\n" not in self._text:
                self._text += (await anext(self._parts)).decode()
            head, _, self._text = self._text.partition("\n\n")
            found = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
            if "data" in found:
                return found

    async def close(self) -> None:
        await self._parts.aclose()


async def events(
    address: str, count: int = 1, headers: dict[str, str] | None = None
) -> list[dict[str, str]]:
    response = await AsyncClient().get(address, headers=headers)
    stream = Stream(response)
    found = [await stream.event() for _ in range(count)]
    response.close()
    return found


async def test_a_plain_view_answers_with_rows_and_then_changes() -> None:
    await Product.objects.acreate(name="pen")
    response = await AsyncClient().get("/plain/")
    stream = Stream(response)
    assert (await stream.event())["event"] == "sync"
    await Product.objects.acreate(name="ink")
    found = await stream.event()
    assert (found["event"], json.loads(found["data"])["payload"]["name"]) == ("create", "ink")
    response.close()


async def test_it_goes_on_from_the_last_event() -> None:
    await Product.objects.acreate(name="pen")
    (first,) = await events("/plain/")
    await Product.objects.acreate(name="ink")
    (then,) = await events("/plain/", headers={"last-event-id": first["id"]})
    assert then["event"] in ("create", "batch", "sync")
    assert "ink" in then["data"]


async def test_a_view_that_is_a_coroutine_function_gives_params() -> None:
    category = await Category.objects.acreate(name="x")
    await Product.objects.acreate(name="pen", category=category)
    (first,) = await events(f"/category/{category.pk}/")
    assert [row["name"] for row in json.loads(first["data"])["payload"]] == ["pen"]


async def test_a_ninja_operation_says_who_asks() -> None:
    await User.objects.acreate_user("ann")
    assert (await AsyncClient().get("/api/members")).status_code == 401
    (first,) = await events("/api/members", headers={"authorization": "Bearer ann"})
    assert first["event"] == "sync"


async def test_a_proof_that_ends_ends_the_stream() -> None:
    await User.objects.acreate_user("ann")
    first, last = await events("/while/", 2)
    assert (first["event"], last["event"]) == ("sync", "disconnect")
    assert json.loads(last["data"])["code"] == "expired"


@pytest.mark.parametrize(
    ("address", "status", "said"),
    [
        ("/members/", 403, "Authentication credentials were not provided"),
        ("/nothing/", 404, "no binding has the event"),
        ("/category/none/", 400, "category"),
    ],
)
async def test_what_is_refused_is_told_as_json(address: str, status: int, said: str) -> None:
    response = await AsyncClient().get(address)
    assert response.status_code == status
    assert response["Content-Type"] == "application/json"
    assert said in str(json.loads(response.content)["detail"])


async def test_other_methods_are_not_allowed() -> None:
    assert (await AsyncClient().post("/plain/")).status_code == 405


def test_without_asgi_it_is_not_acceptable() -> None:
    response = Client().get("/plain/")
    assert response.status_code == 406
    assert "ASGI" in response.content.decode()
