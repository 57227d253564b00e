"""Routes of the ticker."""

from django.urls import include, path, re_path

from tests.projects.ticker.views import BrokenView, ShelfView

urlpatterns = [
    path("bindings/", include("bindserver.urls")),
    re_path(r"^shelf", ShelfView.as_view()),
    re_path(r"^broken", BrokenView.as_view()),
]
