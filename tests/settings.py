"""Settings of the tests' own project; `DATABASE_URL` names the database."""

from __future__ import annotations

import json
import os

import dj_database_url

SECRET_KEY = "for-tests-only-and-long-enough-for-what-signs-with-it"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver", "live.example"]
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "rest_framework",
    "rest_framework.authtoken",
    "django_filters",
    "bindserver",
    "tests.app",
]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
ROOT_URLCONF = os.environ.get("ROOT_URLCONF", "tests.urls")
ASGI_APPLICATION = "tests.asgi.application"
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.SessionAuthentication",
        "rest_framework.authentication.BasicAuthentication",
        "rest_framework.authentication.TokenAuthentication",
        "rest_framework_simplejwt.authentication.JWTAuthentication",
    ],
}
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        **dj_database_url.parse(os.environ.get("DATABASE_URL", "sqlite:///test.sqlite3")),
        "TEST": {"NAME": os.environ.get("TEST_DATABASE", "test_bindserver.sqlite3")},
    }
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        # A process that is killed loses nothing by OFF: only a machine that fails would.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;",
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
    }
if os.environ.get("LOG_FORMAT") == "json":
    LOGGING = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "bindserver.logs.JsonFormatter"}},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "json"}},
        "loggers": {"bindserver": {"handlers": ["console"], "level": "INFO"}},
    }
BINDSERVER = json.loads(os.environ.get("BINDSERVER", "{}"))
if redis := os.environ.get("REDIS_URL"):
    pubsub = "channels_redis.pubsub.RedisPubSubChannelLayer"
    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": os.environ.get("CHANNEL_LAYER", pubsub),
            "CONFIG": {"hosts": [redis]},
        }
    }
