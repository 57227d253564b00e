"""The smallest project, with a cache between Django's ORM and the database."""

import os
from pathlib import Path

from tests.strangers.small.settings import *

INSTALLED_APPS = [*INSTALLED_APPS, "cachalot"]
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",  # for all processes
        "LOCATION": str(Path(os.environ.get("STRANGERS_FOLDER", ".")) / "cache"),
    }
}
