"""A view that writes, for servers of every kind."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from tests.app.models import Product


def write(request: HttpRequest, name: str) -> HttpResponse:
    """Make a product, and say its key."""
    return HttpResponse(str(Product.objects.create(name=name).pk))


urlpatterns: list[object] = []
"""No routes, for a test that does without."""
