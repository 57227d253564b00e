"""Routes of the tests' own project."""

from django.urls import include, path

from tests.app.views import write

urlpatterns = [
    path("bindings/", include("bindserver.urls")),
    path("write/<str:name>/", write),
]
