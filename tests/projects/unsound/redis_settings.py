"""The same with Redis as its channel layer, and origins that are not thought through."""

from __future__ import annotations

from tests.projects.unsound.deploy_settings import *

CHANNEL_LAYERS = {  # W020, W103
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {"hosts": ["redis://127.0.0.1:6379/0"], "capacity": 500},
    }
}
CSRF_TRUSTED_ORIGINS = ["https://office.example"]
BINDSERVER = {"ORIGINS": ["https://shop.example", "null"]}  # W105
