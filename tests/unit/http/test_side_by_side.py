"""`BoundModelViewSet` beside DRF's own `ModelViewSet`: the same answers, and ETags too."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client, override_settings

from bindserver.hub.hub import hub
from tests.app.models import Category, Product, Restaurant, Tag, Token, Word
from tests.app.pairs import TwicePerTest

TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
OURS = {
    *("Bindserver-Commit", "Bindserver-Cursor", "Cache-Control", "Content-Length", "ETag"),
    *("Last-Modified", "Vary"),
}
UUID = "6fa459ea-ee8a-3ca4-894e-db77e160355e"
TABLES: tuple[str, ...] = (
    "app_product_tags",
    "app_product",
    "app_category",
    "app_tag",
    "app_token",
    "app_word",
)
TABLES += ("app_restaurant", "app_place", "auth_user_user_permissions", "auth_user")


pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, to both."""

    path: str
    method: str = "GET"
    data: Any = None
    accept: str | None = None
    user: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = [self.method, self.path, self.accept, self.user]
        return " ".join([*filter(None, parts), *([json.dumps(self.data)] if self.data else [])])


NEW = {"name": "new", "price": "2.50", "stock": 3, "active": True, "category": 1}
HTML = "text/html"

READS = [
    Ask("plain/"),
    Ask("plain/2/"),
    Ask("plain/", "HEAD"),
    Ask("plain/2/", "HEAD"),
    Ask("plain/77/"),
    Ask("plain/x/"),
    Ask("plain/0002/"),
    Ask("plain/99999999999999999999999/"),
    Ask("plain/?anything=1"),
    Ask("plain/?format=json"),
    Ask("plain.json"),
    Ask("plain/2.json"),
    Ask("plain/?format=nothing"),
    Ask("plain/", accept="application/json; indent=4"),
    Ask("plain/2/", accept="application/json; indent=4"),
    Ask("plain/", accept="image/png"),
    Ask("plain/", accept=HTML),
    Ask("plain/2/", accept=HTML),
    Ask("plain/?format=api"),
    Ask("plain/", "OPTIONS"),
    Ask("plain/2/", "OPTIONS"),
    Ask("plain/", "TRACE"),
    Ask("filtered/"),
    Ask("filtered/?active=true"),
    Ask("filtered/?active=true&stock=4"),
    Ask("filtered/?category=1"),
    Ask("filtered/?category=99"),
    Ask("filtered/?stock=x"),
    Ask("filtered/?search=duct 1"),
    Ask("filtered/?search="),
    Ask("filtered/?ordering=-stock"),
    Ask("filtered/?ordering=id"),
    Ask("filtered/?ordering=-id"),
    Ask("filtered/?ordering=nothing"),
    Ask("filtered/2/?active=true"),
    Ask("filtered/3/?active=true"),
    Ask("filtered/", accept=HTML),
    Ask("ordered/"),
    Ask("ordered/?ordering=id"),
    Ask("ordered/?ordering=-name"),
    *(Ask(f"paged/{query}") for query in ("", "?page=2", "?page=last", "?page=9", "?page=x")),
    Ask("paged/?page_size=2&page=2"),
    Ask("paged/?page_size=100"),
    Ask("paged/2/"),
    Ask("paged/", accept=HTML),
    *(Ask(f"offset/{q}") for q in ("", "?limit=2", "?limit=2&offset=3", "?offset=99", "?limit=0")),
    *(Ask(f"cursor/{query}") for query in ("", "?cursor=cD0z", "?cursor=x")),
    Ask("members/"),
    Ask("members/", user="ann"),
    Ask("members/2/"),
    Ask("members/2/", user="ann"),
    Ask("rights/"),
    Ask("rights/", user="ann"),
    Ask("marked/"),
    Ask("marked/3/"),
    Ask("marked/2/"),
    Ask("formats/", accept="application/xml"),
    Ask("formats/2/", accept="application/xml"),
    Ask("formats/?format=xml"),
    Ask("formats.xml"),
    Ask("nested/"),
    Ask("nested/1/"),
    Ask("nested/", accept="application/xml"),
    Ask("linked/"),
    Ask("linked/1/"),
    Ask("keyless/"),
    Ask("keyless/1/"),
    Ask("keyless-paged/?page=2"),
    Ask("own-code/"),
    Ask("own-code/3/"),
    Ask("asking/"),
    Ask("asking/", user="ann"),
    Ask("asking/1/", user="ann"),
    Ask("sometimes-asking/", user="ann"),
    Ask("counted/"),
    Ask("counted/1/"),
    Ask("backend/"),
    Ask("backend/7/"),
    Ask("actions/names/"),
    Ask("actions/1/shout/"),
    Ask("actions/"),
    Ask("per-action/"),
    Ask("per-action/1/"),
    Ask("active/"),
    Ask("active/3/"),
    Ask("active/1/"),
    Ask("by-name/product 3/"),
    Ask("by-name/"),
    Ask("by-kwarg/3/"),
    Ask("versioned/?version=1"),
    Ask("tokens/"),
    Ask(f"tokens/{UUID}/"),
    Ask(f"tokens/{UUID.replace('-', '')}/"),
    Ask(f"tokens/{UUID.upper()}/"),
    Ask("tokens/nothing/"),
    Ask("words/"),
    Ask("words/grün/"),
    Ask("words/wide/"),
    Ask("words/GRÜN/"),
    Ask("words/12/"),
    Ask("restaurants/"),
    Ask("restaurants/1/"),
]

WRITES = [
    Ask("plain/", "POST", NEW),
    Ask("plain/", "POST", {"name": ""}),
    Ask("plain/", "POST", {"name": "x" * 99, "price": "a", "category": 99}),
    Ask("plain/", "POST", [1]),
    Ask("plain/2/", "PUT", NEW),
    Ask("plain/2/", "PUT", {"stock": 9}),
    Ask("plain/2/", "PATCH", {"stock": 9}),
    Ask("plain/2/", "PATCH", {"stock": "many"}),
    Ask("plain/2/", "DELETE"),
    Ask("plain/77/", "DELETE"),
    Ask("plain/77/", "PATCH", {"stock": 9}),
    Ask("plain/", "DELETE"),
    Ask("active/3/", "DELETE"),
    Ask("active/1/", "PATCH", {"stock": 5}),
    Ask("members/", "POST", NEW),
    Ask("members/", "POST", NEW, user="ann"),
    Ask("rights/", "POST", NEW, user="ann"),
    Ask("rights/", "POST", NEW, user="bob"),
    Ask("marked/2/", "DELETE"),
    Ask("marked/3/", "DELETE"),
    Ask("keyless/", "POST", {"name": "new", "stock": 2}),
    Ask("per-action/", "POST", NEW),
    Ask("linked/", "POST", {"name": "new"}),
    Ask("actions/1/shout/", "POST"),
    Ask("words/", "POST", {"text": "neu", "count": 5}),
    Ask("words/", "POST", {"text": "grün", "count": 5}),
    Ask("tokens/", "POST", {"label": "a"}),
    Ask("plain/", "POST", NEW, accept=HTML),
]


@pytest.fixture(autouse=True)
def shop(database: Path) -> Iterator[None]:
    """Rows of every model, on a database with a change log, and pages that can be rendered."""
    fill()
    TwicePerTest.left.clear()
    with override_settings(TEMPLATES=TEMPLATES, ROOT_URLCONF="tests.app.pairs"):
        yield
    hub.stop()


def fill() -> None:
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"DELETE FROM {table}")
        cursor.execute("DELETE FROM sqlite_sequence")
    Category.objects.create(pk=1, name="toys")
    for number in range(1, 9):
        Product.objects.create(
            pk=number,
            name=f"product {number}",
            price=number,
            stock=number,
            active=number != 3,
            category_id=1 if number % 2 else None,
        )
    tag = Tag.objects.create(pk=1, name="new \u2028 line")
    Product.objects.get(pk=1).tags.add(tag)
    Token.objects.create(pk=UUID, label="one")
    Word.objects.create(text="grün", count=2**53)
    Word.objects.create(text="12", count=1)
    Word.objects.create(text="wide", count=2**60)
    Restaurant.objects.create(name="Chez", seats=4)
    User.objects.create(pk=1, username="ann")
    bob = User.objects.create(pk=2, username="bob")
    bob.user_permissions.add(Permission.objects.get(codename="add_product"))


def answer(side: str, ask: Ask, **headers: str) -> Any:
    client = Client()
    if ask.user is not None:
        client.force_login(User.objects.get(username=ask.user))
    kwargs: dict[str, Any] = {"headers": {**ask.headers, **headers}}
    if ask.accept is not None:
        kwargs["headers"]["Accept"] = ask.accept
    if ask.data is not None:
        kwargs |= {"data": json.dumps(ask.data), "content_type": "application/json"}
    return client.generic(ask.method, f"/{side}/{ask.path}", **kwargs)


def comparable(response: Any) -> tuple[Any, ...]:
    """Return what must be equal: all but our headers, tokens against forgery, and the path."""
    headers = {name: value for name, value in response.headers.items() if name not in OURS}
    body = response.content.decode().replace("/bound/", "/plain/")
    body = re.sub(r".*Bindserver-Commit.*\n", "", body)  # pages for people show headers
    body = re.sub(r"csrfToken\W+\w+|csrfmiddlewaretoken\W+value=\W\w+", "", body)
    body = (
        re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "uuid", body) if response.status_code == 201 else body
    )
    headers = {name: value.replace("/bound/", "/plain/") for name, value in headers.items()}
    cookies = sorted(response.cookies)
    return response.status_code, headers, cookies, body


@pytest.mark.parametrize("ask", READS, ids=str)
def test_reads_are_answered_alike(ask: Ask) -> None:
    for _ in range(2):  # the second time from what the first has learned
        plain, bound = answer("plain", ask), answer("bound", ask)
        assert comparable(bound) == comparable(plain)
        assert bound.get("Content-Length", "") == plain.get("Content-Length", "")
    assert set(plain.headers["Vary"].split(", ")) <= set(bound.headers["Vary"].split(", "))


@pytest.mark.parametrize("ask", READS, ids=str)
def test_what_was_read_has_a_tag_that_is_good_for_304(ask: Ask) -> None:
    plain, bound = answer("plain", ask), answer("bound", ask)
    actions = ("names/", "shout/")
    if plain.status_code != 200 or ask.method == "OPTIONS" or ask.path.endswith(actions):
        assert "ETag" not in bound.headers
        return
    tag = bound.headers["ETag"]
    if bound.headers["Content-Type"].startswith("text/html"):
        return  # a page holds a new token against forgery each time
    again = answer("bound", ask, If_None_Match=tag)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == tag
    assert "Content-Type" not in again.headers
    Product.objects.all().delete()
    Tag.objects.update(name="other")
    Token.objects.update(label="other")
    Word.objects.filter(count=1).update(count=2)
    Word.objects.exclude(count=2).update(count=2**61)
    Restaurant.objects.update(seats=99)
    assert answer("bound", ask, If_None_Match=tag).status_code in (200, 404)


@pytest.mark.parametrize("ask", WRITES, ids=str)
def test_writes_are_answered_alike_and_do_the_same(ask: Ask) -> None:
    plain = answer("plain", ask)
    rows = contents()
    fill()
    bound = answer("bound", ask)
    assert comparable(bound) == comparable(plain)
    assert contents() == rows
    assert "ETag" not in bound.headers
    assert ("Bindserver-Commit" in bound.headers) is (bound.status_code < 400)


def contents() -> list[Any]:
    with connection.cursor() as cursor:
        found = []
        for table in TABLES[:-1]:
            if table == "app_token":
                cursor.execute("SELECT label FROM app_token ORDER BY label")
            else:
                cursor.execute(f"SELECT * FROM {table} ORDER BY 1, 2")
            found.append(cursor.fetchall())
        return found


def test_throttles_are_asked_alike() -> None:
    for _ in range(4):
        plain, bound = answer("plain", Ask("throttled/")), answer("bound", Ask("throttled/"))
        assert comparable(bound) == comparable(plain)
    assert bound.status_code == 429
    assert bound.headers["Retry-After"] == "7"
