"""Routes of the smallest project."""

from django.urls import include, path

urlpatterns = [path("bindings/", include("bindserver.urls"))]
