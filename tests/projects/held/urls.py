"""Routes: a viewset of such a binding, a page of the app's own, and who waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path
from rest_framework.routers import SimpleRouter

from bindserver import BoundModelViewSet
from bindserver.http.waiting import snapshots, threads
from bindserver.hub.hub import hub
from tests.projects.held.bindings import HeldBinding


class HeldViewSet(BoundModelViewSet):
    binding = HeldBinding


def page(request: HttpRequest) -> HttpResponse:
    """Ask the database something, as any page does."""
    return HttpResponse(str(User.objects.count()))


def waiting(request: HttpRequest) -> HttpResponse:
    """Say who waits over HTTP, and what the cycle knows of it."""
    views = [live for cycle in hub._cycles.values() for live in cycle._store.views()]
    return JsonResponse(
        {
            "snapshots": snapshots.waiting,
            "threads": threads.waiting,
            "wanted": sorted(live.event or "" for live in views if live.wanted),
        }
    )


class Synchronous:
    """Middleware that can be called by synchronous code alone."""

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        return self._get_response(request)


router = SimpleRouter()
router.register("viewset", HeldViewSet, basename="held")
urlpatterns = [
    path("bindings/", include("bindserver.urls")),
    path("drf/", include(router.urls)),
    path("page/", page),
    path("waiting/", waiting),
]
