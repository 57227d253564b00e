"""Settings of a project that is deployed as it should not be: one mistake for each deploy check."""

from __future__ import annotations

from tests.settings import *
from tests.settings import DATABASES

DEBUG = True  # W101
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}  # W102
DATABASES = {  # W104
    **DATABASES,
    "kept": {"ENGINE": "django.db.backends.postgresql", "NAME": "kept", "CONN_MAX_AGE": 600},
}
ALLOWED_HOSTS = ["*"]  # W105, where no ORIGINS are set
BINDSERVER = {"RUNTIME_INSTALL": True}  # W106
