"""The tests' routes, and a viewset for each guarded binding."""

from __future__ import annotations

from django.urls import include, path
from rest_framework.routers import DefaultRouter

from bindserver import BoundModelViewSet
from tests.app import bindings
from tests.urls import urlpatterns as usual

GUARDED = (
    bindings.ProductBinding,
    bindings.MembersBinding,
    bindings.MineBinding,
    bindings.StaffBinding,
    bindings.GuardedBinding,
)

router = DefaultRouter()
for _binding in GUARDED:
    _event = str(_binding.event)
    router.register(_event, type(_event, (BoundModelViewSet,), {"binding": _binding}), _event)

urlpatterns = [*usual, path("viewsets/", include(router.urls))]
