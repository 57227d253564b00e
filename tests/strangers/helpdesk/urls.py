"""Routes of the desk."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("bindings/", include("bindserver.urls")),
    path("", include("helpdesk.urls")),
]
