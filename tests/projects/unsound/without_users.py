"""Settings of a project in which nobody can be anybody."""

from __future__ import annotations

SECRET_KEY = "for-tests-only-and-long-enough-for-what-signs-with-it"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["django.contrib.contenttypes", "rest_framework", "bindserver"]
ROOT_URLCONF = "tests.projects.unsound.no_urls"
REST_FRAMEWORK = {"UNAUTHENTICATED_USER": None}
ASGI_APPLICATION = "tests.asgi.application"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
