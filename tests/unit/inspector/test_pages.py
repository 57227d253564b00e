"""The inspector's page: under a prefix, without static files, and for whom it is in the admin."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.test import RequestFactory, override_settings
from django.urls import clear_script_prefix, set_script_prefix

from bindserver.checks.audience import check_event
from bindserver.inspector.access import address, may_inspect
from bindserver.inspector.pages import index
from tests.app.bindings import TagBinding


def page(user: User | AnonymousUser) -> HttpResponse:
    request = RequestFactory().get("/bindserver/")
    request.user = user
    return index(request)


@pytest.fixture
def staff() -> User:
    return User(pk=1, username="ann", is_staff=True)


@pytest.fixture
def prefix() -> Iterator[None]:
    """The project is mounted at /app."""
    set_script_prefix("/app/")
    yield
    clear_script_prefix()


@pytest.mark.usefixtures("prefix")
def test_under_a_prefix_the_page_finds_the_socket_and_the_login(staff: User) -> None:
    assert 'data-url="/app/ws/"' in page(staff).content.decode()
    assert address() == "/app/bindserver/"


def test_static_files_that_are_elsewhere_are_in_the_policy(staff: User) -> None:
    with override_settings(STATIC_URL="https://cdn.example/static/"):
        response = page(staff)
    assert "script-src 'self' https://cdn.example;" in response["Content-Security-Policy"]
    assert 'src="https://cdn.example/static/bindserver/inspector.js"' in response.content.decode()


def test_a_manifest_without_the_files_leaves_a_page_that_says_what_to_do(
    staff: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(path: str) -> str:  # as ManifestStaticFilesStorage has it
        raise ValueError(f"Missing staticfiles manifest entry for {path!r}")

    monkeypatch.setattr("bindserver.inspector.pages.static", missing)
    response = page(staff)
    assert response.status_code == 503
    assert "manage.py collectstatic" in response.content.decode()
    assert "<script" not in response.content.decode()


def test_over_https_the_policy_names_the_secure_socket(staff: User) -> None:
    request = RequestFactory().get("/bindserver/", secure=True)
    request.user = staff
    assert "connect-src 'self' wss://testserver;" in index(request)["Content-Security-Policy"]


def test_nobody_and_users_who_may_not_get_no_page() -> None:
    assert page(AnonymousUser()).status_code == 302
    for user in (User(username="bob"), User(username="eve", is_staff=True, is_active=False)):
        with pytest.raises(PermissionDenied):
            page(user)


def test_a_function_of_the_project_s_says_who_may(staff: User) -> None:
    path = f"{__name__}.is_called_bob"
    with override_settings(BINDSERVER={"INSPECTOR_ALLOW": path}):
        assert not may_inspect(staff)
        assert may_inspect(User(username="bob"))
        assert not may_inspect(User(username="bob", is_active=False))
        assert not may_inspect(None)


def is_called_bob(user: User) -> bool:
    return user.username == "bob"


def test_no_binding_takes_the_name_of_an_event_of_the_server_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(TagBinding, "event", "bindserver.inspector")
    assert [message.id for message in check_event(TagBinding)] == ["bindserver.E003"]
