from __future__ import annotations

from django.apps import apps
from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("bindings/", include("bindserver.urls")),
    path("bindserver/", include("bindserver.inspector.urls")),
]

if apps.is_installed("bindserver_project.shop"):
    urlpatterns.append(path("", include("bindserver_project.shop.urls")))
