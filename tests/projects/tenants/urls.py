"""A viewset."""

from __future__ import annotations

from rest_framework.routers import SimpleRouter

from bindserver.http.viewsets import BoundModelViewSet
from tests.projects.tenants.shop.bindings import ItemBinding


class Items(BoundModelViewSet):
    binding = ItemBinding
    authentication_classes = ()


router = SimpleRouter()
router.register("items", Items, basename="items")
urlpatterns = router.urls
