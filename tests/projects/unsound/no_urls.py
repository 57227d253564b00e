"""No routes."""

urlpatterns: list[object] = []
