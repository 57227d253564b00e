"""Settings of the standalone server, read from the environment and from nowhere else.

``DEBUG``                 1 turns debug mode on; it is off unless asked for.
``SECRET_KEY``            required when debug mode is off.
``ALLOWED_HOSTS``         host names that are served, separated by commas.
``CSRF_TRUSTED_ORIGINS``  origins that may post, for a server behind a TLS proxy.
``DATABASE_URL``          ``sqlite:///shop.db`` is a file in the current directory.
``STATIC_ROOT``           where ``collectstatic`` puts files for the web server in front.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

ROOT = Path(__file__).resolve().parent.parent


def read_flag(name: str) -> bool:
    return os.environ.get(name, "").strip().lower() in {"1", "true", "yes", "on"}


def read_list(name: str) -> list[str]:
    return [item.strip() for item in os.environ.get(name, "").split(",") if item.strip()]


def read_secret_key(*, debug: bool) -> str:
    key = os.environ.get("SECRET_KEY", "")
    if not key and not debug:
        raise ImproperlyConfigured(
            "SECRET_KEY is not set. Give the server a long random SECRET_KEY in its environment, "
            "or set DEBUG=1 to try it on your own machine."
        )
    return key or "for-development-only-and-known-to-everybody"


def read_database(default: str) -> dict[str, Any]:
    """The database that ``DATABASE_URL`` names, with SQLite set up for many readers."""
    database: dict[str, Any] = dict(
        dj_database_url.parse(os.environ.get("DATABASE_URL") or default)
    )
    if database["ENGINE"] == "django.db.backends.sqlite3":
        database["OPTIONS"] = {
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
        } | database.get("OPTIONS", {})
    return database


DEBUG = read_flag("DEBUG")
SECRET_KEY = read_secret_key(debug=DEBUG)
ALLOWED_HOSTS = read_list("ALLOWED_HOSTS")
CSRF_TRUSTED_ORIGINS = read_list("CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "bindserver",
    "bindserver_project.shop",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "bindserver_project" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {"default": read_database(f"sqlite:///{ROOT / 'bindserver.sqlite3'}")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

ROOT_URLCONF = "bindserver_project.urls"
ASGI_APPLICATION = "bindserver_project.asgi.application"
LOGIN_URL = "admin:login"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = os.environ.get("STATIC_ROOT") or None

BINDSERVER: dict[str, Any] = {}
