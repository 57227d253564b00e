"""A project as a user would write it: the files that docs/testing.md shows, and what they need."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).resolve().parents[3]
SHOWN = re.compile(r"^ *```python\n *# (\S+\.py)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)

SETTINGS = """
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent
SECRET_KEY = "for-tests-only"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "rest_framework",
    "bindserver",
    "shop",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
ROOT_URLCONF = "urls"
STATIC_URL = "/static/"
ASGI_APPLICATION = "asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}
"""

ON_DISK = """
DATABASES["default"]["OPTIONS"] = {"init_command": "PRAGMA journal_mode=WAL;"}
DATABASES["default"]["TEST"] = {"NAME": BASE_DIR / "test.sqlite3"}
"""

MODELS = """
from django.conf import settings
from django.db import models


class Order(models.Model):
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    item = models.CharField(max_length=50)
    paid = models.BooleanField(default=False)
"""

ASGI = """
import os

import bindserver
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
application = bindserver.asgi.wrap(get_asgi_application())
"""

URLS = """
from django.urls import include, path

urlpatterns = [path("bindings/", include("bindserver.urls"))]
"""

PYTEST = """
[pytest]
filterwarnings = error
asyncio_default_fixture_loop_scope = function
"""


def make_project(folder: Path, *, on_disk: bool = True) -> Path:
    """Write the project into a folder.

    Args:
        folder: an empty one.
        on_disk: whether the test database is a file, in WAL mode.
    """
    guide = (ROOT / "docs/testing.md").read_text(encoding="utf-8")
    shown = {name: dedent(text) for name, text in SHOWN.findall(guide)}
    assert shown.pop("settings.py").strip() in ON_DISK
    files = {
        "settings.py": SETTINGS + (ON_DISK if on_disk else ""),
        "asgi.py": ASGI,
        "urls.py": URLS,
        "pytest.ini": PYTEST,
        "shop/__init__.py": "",
        "shop/models.py": MODELS,
        "shop/tests/__init__.py": "",
        **shown,
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a project, with this checkout's bindserver."""
    usual = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "BINDSERVER"))}
    env = {**usual, "DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": f"{folder}:{ROOT}"}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=env, capture_output=True, text=True
    )


def run_django(folder: Path, *labels: str) -> subprocess.CompletedProcess[str]:
    """Run the project's tests as `manage.py test` does."""
    return run(folder, "-m", "django", "test", *labels)


def run_pytest(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run the project's tests with pytest, our plugin loaded as its entry point does it."""
    installed = {point.name for point in entry_points(group="pytest11")}
    plugin = [] if "bindserver" in installed else ["-p", "bindserver.testing.plugin"]
    return run(folder, "-m", "pytest", "-q", *plugin, "-p", "no:cacheprovider", *args)
