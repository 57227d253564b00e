"""The inspector's route, for `include("bindserver.inspector.urls")` under any prefix."""

from __future__ import annotations

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.urls import path

from bindserver.inspector.pages import index

NEEDED = ("bindserver", "django.contrib.auth", "django.contrib.sessions")

if missing := [name for name in NEEDED if not apps.is_installed(name)]:
    raise ImproperlyConfigured(
        f"The inspector is for users who are logged in: add {', '.join(missing)} to INSTALLED_APPS."
    )

app_name = "bindserver_inspector"
urlpatterns = [path("", index, name="index")]
