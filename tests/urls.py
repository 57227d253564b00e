"""Routes of the tests' own project."""

from django.urls import include, path

urlpatterns = [path("bindings/", include("bindserver.urls"))]
