"""Routes of the tests' own project."""

from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from tests.app.views import write


def log_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse(status=204)


urlpatterns = [
    path("bindings/", include("bindserver.urls")),
    path("bindserver/", include("bindserver.inspector.urls")),
    path("write/<str:name>/", write),
    path("drf/", include("tests.app.pairs")),
    path("logout/", log_out),
]
