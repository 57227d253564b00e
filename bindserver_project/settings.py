"""Settings of the standalone server, read from the environment and from nowhere else.

docs/deployment.md lists every variable.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bindserver_project.environment import Environment

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
LEVELS = ("critical", "error", "warning", "info", "debug", "trace")

environment = Environment()

DEBUG = environment.flag("DEBUG")
DEMO = environment.flag("DEMO")
SECRET_KEY = environment.secret("SECRET_KEY", debug=DEBUG)
ALLOWED_HOSTS = environment.items("ALLOWED_HOSTS")
CSRF_TRUSTED_ORIGINS = environment.items("CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "bindserver",
    *(["bindserver_project.shop"] if DEMO else []),
    *environment.apps("BINDSERVER_APPS"),
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

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "bindserver_project" / "templates"] if DEMO else [],
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

DATABASES = {
    "default": environment.database("DATABASE_URL", f"sqlite:///{ROOT / 'bindserver.sqlite3'}")
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CHANNEL_LAYERS = environment.channel_layers("REDIS_URL")

ROOT_URLCONF = "bindserver_project.urls"
ASGI_APPLICATION = "bindserver_project.asgi.application"
AUTH_USER_MODEL = environment.text("AUTH_USER_MODEL", "auth.User")
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

LANGUAGE_CODE = environment.text("LANGUAGE_CODE", "en")
TIME_ZONE = environment.text("TIME_ZONE", "UTC")
USE_TZ = True

STATIC_URL = environment.text("STATIC_URL", "static/")
STATICFILES_DIRS = [("examples", EXAMPLES)] if DEBUG and EXAMPLES.is_dir() else []
STATIC_ROOT = environment.text("STATIC_ROOT") or None

# TLS ends at the proxy: it redirects, and says here that a request came over HTTPS.
SECURE_COOKIES = environment.flag("SECURE_COOKIES", default=not DEBUG)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_COOKIES
SECURE_PROXY_SSL_HEADER = (
    ("HTTP_X_FORWARDED_PROTO", "https") if environment.flag("SECURE_PROXY") else None
)
SECURE_HSTS_SECONDS = environment.number("HSTS_SECONDS", 0)
SILENCED_SYSTEM_CHECKS = [
    "security.W005",  # other names below the domain are not this server's to decide on
    "security.W008",  # redirecting is the proxy's, and probes come without TLS
    "security.W021",  # nor is the browsers' preload list
]

LOG_LEVEL = environment.choice("LOG_LEVEL", LEVELS, "info").replace("trace", "debug").upper()
LOG_FORMAT = environment.choice("LOG_FORMAT", ("text", "json"), "text")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"},
        "json": {"()": "bindserver.logs.JsonFormatter"},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    "loggers": {
        "bindserver": {"handlers": ["console"], "level": LOG_LEVEL},
        "django": {"handlers": ["console"], "level": LOG_LEVEL.replace("DEBUG", "INFO")},
    },
}

BINDSERVER: dict[str, Any] = environment.bindserver()
if not DEBUG:  # a deploy installs the change log; visitors have nothing installed
    BINDSERVER.setdefault("RUNTIME_INSTALL", False)
