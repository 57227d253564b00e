"""The page: a shell that says nothing of anybody. What it shows, it follows."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template import Context, Engine, Template
from django.templatetags.static import static
from django.urls import NoReverseMatch, get_script_prefix, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from bindserver.conf import conf
from bindserver.inspector.access import may_inspect
from bindserver.inspector.asked import EVENT

FILES = {
    "style": "bindserver/inspector.css",
    "client": "bindserver/io.js",
    "script": "bindserver/inspector.js",
}


@never_cache
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """Answer with the page; nobody is sent to the login, and others are refused.

    Raises:
        PermissionDenied: the user may not inspect.
    """
    user = getattr(request, "user", None)
    if not may_inspect(user):
        if user is None or user.is_anonymous:
            return redirect_to_login(request.get_full_path(), _login())
        raise PermissionDenied
    files = _files()
    told = {
        **files,
        "event": EVENT,
        "socket": f"{get_script_prefix().rstrip('/')}{conf.WEBSOCKET_PATH}",
        "admin": _reversed("admin:index"),
    }
    response = HttpResponse(_page().render(Context(told)), status=200 if files else 503)
    response["Content-Security-Policy"] = _policy(request, files)
    response["Referrer-Policy"] = "same-origin"
    response["X-Content-Type-Options"] = "nosniff"
    response["X-Frame-Options"] = "DENY"
    return response


def _login() -> str | None:
    """Return where to log in: at the admin, where staff does; None for what LOGIN_URL says."""
    return _reversed("admin:login") if conf.INSPECTOR_ALLOW is None else None


def _reversed(name: str) -> str | None:
    try:
        return reverse(name)
    except NoReverseMatch:
        return None


def _files() -> dict[str, str]:
    """Return the addresses of the static files; none where the project's storage knows no such
    files, as one with a manifest that was made before."""
    try:
        return {name: static(path) for name, path in FILES.items()}
    except (ImproperlyConfigured, ValueError):
        return {}


def _policy(request: HttpRequest, files: dict[str, str]) -> str:
    """Return what the page may load: our files from where they are, and the WebSocket from here."""
    parts = [urlsplit(url) for url in files.values()]
    elsewhere = {f"{p.scheme or request.scheme}://{p.netloc}" for p in parts if p.netloc}
    own = " ".join(["'self'", *sorted(elsewhere)])
    scheme = "wss" if request.is_secure() else "ws"
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {own}",
            f"style-src {own}",
            f"connect-src 'self' {scheme}://{request.get_host()}",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


@cache
def _page() -> Template:
    """Return the template, by an engine of our own: a project need not have one."""
    text = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    return Engine(debug=settings.DEBUG).from_string(text)
