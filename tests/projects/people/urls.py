"""Routes of a project that has none of the tests' usual models."""

from django.urls import include, path

urlpatterns = [path("bindings/", include("bindserver.urls"))]
