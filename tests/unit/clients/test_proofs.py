"""Tokens and sessions' keys of whatever letters: failed proofs, and no failures."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from django.contrib.auth import SESSION_KEY, get_user_model
from django.contrib.auth.models import User
from django.db import DataError
from django.test import Client, override_settings
from rest_framework.authentication import BaseAuthentication, get_authorization_header

from bindserver.clients import session_users
from bindserver.clients.session_users import user_of
from bindserver.clients.tokens import NotProven, prove, prove_header
from tests.app.models import Category

HERE = "tests.unit.clients.test_proofs"

ODD = [
    *("\u65e5\u672c\u8a9e", "\u00fc\u00f1\u00ef", "\ud800", "x\udfff", "\x00", "a\x00b", "a\rb\n"),
    *(
        "\x7f",
        "\u2028",
        "\U0001f600",
        "x" * 1_000_000,
        "\u00e9" * 100_000,
        "Token \u2028",
        "Bearer \x00",
    ),
]
"""What no token looks like."""


class OfUuid(BaseAuthentication):
    """Takes tokens apart by itself, as a project's own class may."""

    said: ClassVar[list[str]] = []

    def authenticate(self, request: Any) -> Any:
        token = get_authorization_header(request).decode("latin-1").partition(" ")[2]
        self.said.append(token)
        if token == "bug":
            raise ValueError("a bug of the class")
        token.encode("ascii")
        return (User(username=str(uuid.UUID(token))), None)


class ByRow(BaseAuthentication):
    """Has Django's fields and the database judge a token."""

    def authenticate(self, request: Any) -> Any:
        token = get_authorization_header(request).decode("latin-1").partition(" ")[2]
        Category.objects.filter(pk=token).exists()
        raise DataError("the value is out of range")


def by_row(token: str, headers: Mapping[str, str]) -> Any:
    """Return nobody, if the database can look for the token."""
    token.encode("ascii")
    Category.objects.filter(pk=token).exists()
    return None


@pytest.fixture
def classes(database: Path) -> Iterator[list[str]]:
    """The authentication classes in use; a test fills them."""
    named: list[str] = []
    with override_settings(REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": named}):
        yield named


@pytest.mark.parametrize("token", ODD, ids=ascii)
@pytest.mark.parametrize(
    "kind",
    [
        "rest_framework.authentication.TokenAuthentication",
        "rest_framework_simplejwt.authentication.JWTAuthentication",
        f"{HERE}.OfUuid",
        f"{HERE}.ByRow",
    ],
)
async def test_an_odd_token_is_a_failed_proof_to_every_class(
    kind: str, token: str, classes: list[str]
) -> None:
    classes.append(kind)
    with pytest.raises(NotProven, match="the token is not valid"):
        await prove(token, {})


@pytest.mark.parametrize("token", [*ODD, "no number"], ids=ascii)
async def test_an_odd_token_is_a_failed_proof_to_a_function(token: str, database: Path) -> None:
    with (
        override_settings(BINDSERVER={"AUTHENTICATE": f"{HERE}.by_row"}),
        pytest.raises(NotProven, match="the token is not valid"),
    ):
        await prove(token, {})


@pytest.mark.parametrize("header", ["Token \xe9", "Bearer \xff\xfe", "Odd \x80"])
async def test_so_is_an_odd_header_of_the_handshake(header: str, classes: list[str]) -> None:
    classes += ["rest_framework.authentication.TokenAuthentication", f"{HERE}.OfUuid"]
    with pytest.raises(NotProven):
        await prove_header(header, {})


async def test_what_no_header_can_hold_is_not_asked_about(classes: list[str]) -> None:
    classes.append(f"{HERE}.OfUuid")
    OfUuid.said.clear()
    for token in ("\u65e5", "a\nX-User: ann", "x" * 70_000):
        with pytest.raises(NotProven):
            await prove(token, {})
    assert OfUuid.said == []


async def test_a_bug_of_a_class_is_none_of_the_client_s(classes: list[str]) -> None:
    classes.append(f"{HERE}.OfUuid")
    with pytest.raises(ValueError, match="a bug of the class"):
        await prove("bug", {})


class Session(dict[str, Any]):
    """A session whose key a driver refuses to look for, as psycopg does one with a NUL."""

    session_key = "\x00" * 40

    def get(self, key: str, default: Any = None) -> Any:
        raise ValueError("A string literal cannot contain NUL (0x00) characters.")


async def test_a_session_s_key_that_no_session_can_have_is_nobody_s() -> None:
    assert (await user_of(Session())).is_anonymous


async def test_a_failure_of_a_session_s_store_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "session_key", "a" * 32)
    with pytest.raises(ValueError, match="NUL"):
        await user_of(Session())


class TestANewSecret:
    """A session of a secret that is among SECRET_KEY_FALLBACKS."""

    @pytest.fixture
    def session(self, database: Path) -> Any:
        client = Client()
        client.force_login(get_user_model().objects.create_user("ann", password="x"))
        return client.session

    def test_it_is_still_the_user_s_and_stays_as_it_was(self, session: Any) -> None:
        store = type(session)(session.session_key)
        with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["other", _secret()]):
            found = session_users.user_in(store)
        assert found is not None
        assert found.username == "ann"
        assert type(session)(session.session_key)[SESSION_KEY] == session[SESSION_KEY]

    def test_it_is_nobody_s_where_the_secret_is_gone(self, session: Any) -> None:
        with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["other"]):
            assert session_users.user_in(type(session)(session.session_key)) is None

    def test_so_it_is_after_a_new_password(self, session: Any) -> None:
        user = get_user_model().objects.get()
        user.set_password("y")
        user.save()
        assert session_users.user_in(type(session)(session.session_key)) is None


def _secret() -> str:
    from django.conf import settings

    return str(settings.SECRET_KEY)
