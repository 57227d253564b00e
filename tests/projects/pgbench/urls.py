"""Routes of the bank."""

from django.urls import include, path

urlpatterns = [path("bindings/", include("bindserver.urls"))]
