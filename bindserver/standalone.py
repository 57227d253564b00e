"""A project's bindings served beside it, without a line in its own `asgi.py` and URLs.

`manage.py bindserver --standalone`, or `uvicorn bindserver.standalone:application`, under the
project's own settings: bindings at `/ws/` and `/bindings/`, health checks, and the project's own
pages behind them.
"""

from __future__ import annotations

from typing import Any

import django
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest
from django.urls import NoReverseMatch, get_resolver, include, path, reverse

from bindserver.asgi import wrap

django.setup(set_prefix=False)


class StandaloneHandler(ASGIHandler):
    """Django, with this module's routes before the project's."""

    def create_request(self, *args: Any, **kwargs: Any) -> Any:
        """Have the request take our routes."""
        request, response = super().create_request(*args, **kwargs)
        if isinstance(request, HttpRequest):
            request.urlconf = __name__
        return request, response


def own_routes() -> list[Any]:
    """Return the routes that the project lacks."""
    try:
        reverse("bindserver:bindings")
    except NoReverseMatch:
        return [path("bindings/", include("bindserver.urls"))]
    return []


# Not by include(), which a project's i18n_patterns would not bear.
urlpatterns = [*own_routes(), *get_resolver().url_patterns]
application = wrap(StandaloneHandler(), health=True)
