"""Settings of the ticker: the tests' own, with a channel layer."""

from __future__ import annotations

from tests.settings import *

ROOT_URLCONF = "tests.projects.ticker.urls"
ASGI_APPLICATION = "tests.projects.ticker.asgi.application"
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
