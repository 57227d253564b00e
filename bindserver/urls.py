"""HTTP routes, for `include("bindserver.urls")` under any prefix."""

from __future__ import annotations

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.urls import path

from bindserver.http.api import BindingList, SeveralStream, SnapshotView

if not apps.is_installed("bindserver"):  # no binding would ever be found
    raise ImproperlyConfigured('Add "bindserver" to INSTALLED_APPS.')

app_name = "bindserver"
urlpatterns = [
    path("", BindingList.as_view(), name="bindings"),
    path("stream/", SeveralStream.as_view(), name="stream"),
    path("<str:event>/", SnapshotView.as_view(), name="snapshot"),
    path("<str:event>/<str:key>/", SnapshotView.as_view(), name="row"),
]
