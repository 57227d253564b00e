from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("bindings/", include("bindserver.urls")),
    path("", include("bindserver_project.shop.urls")),
]
