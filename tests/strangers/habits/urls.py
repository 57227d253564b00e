"""Routes of the project."""

from django.urls import include, path

urlpatterns = [path("bindings/", include("bindserver.urls"))]
