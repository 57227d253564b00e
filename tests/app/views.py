"""A view that writes, for servers of every kind."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from tests.app.models import Product


def write(request: HttpRequest, name: str) -> HttpResponse:
    """Make a product, and say its key."""
    return HttpResponse(str(Product.objects.create(name=name).pk))


def is_in_a_group(user: Any) -> bool:
    """Return whether a user may see the inspector, for tests of the setting INSPECTOR_ALLOW."""
    return user.is_authenticated and bool(user.groups.exists())


urlpatterns: list[object] = []
"""No routes, for a test that does without."""
