"""A page that waits for the test."""

import os
import time
from pathlib import Path

from django.http import HttpRequest, HttpResponse
from django.urls import include, path


def wait(request: HttpRequest) -> HttpResponse:
    """Say by a file that this page is asked for, and answer when another file is there."""
    signs = Path(os.environ["SIGNS"])
    (signs / "asked").touch()
    while not (signs / "answer").exists():
        time.sleep(0.01)
    return HttpResponse("answered")


urlpatterns = [path("bindings/", include("bindserver.urls")), path("wait/", wait)]
