"""A viewset for each of the bindings that are declared wrongly, and the routes of the tests."""

from __future__ import annotations

from typing import Any

from django.urls import path

from bindserver import BoundModelViewSet
from bindserver.exceptions import BindingError
from tests import urls
from tests.projects.unsound import bindings


def viewset_of(binding: Any) -> Any:
    """Return a viewset of a binding; None where none can be made."""
    body = {"binding": binding, "__module__": __name__}
    try:
        viewset: Any = type(f"{binding.__name__}ViewSet", (BoundModelViewSet,), body)
    except BindingError:
        return None
    return viewset


urlpatterns = [
    *urls.urlpatterns,
    *[
        path(f"viewsets/{name.lower()}/", viewset.as_view({"get": "list"}))
        for name, binding in vars(bindings).items()
        if isinstance(binding, type) and binding.__module__ == bindings.__name__
        if (viewset := viewset_of(binding)) is not None
    ],
]
