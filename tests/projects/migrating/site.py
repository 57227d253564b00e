"""A project that has what one block after the other of a chapter says."""

from __future__ import annotations

import re
import sys
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path
from textwrap import dedent
from types import TracebackType
from typing import Self

from tests.projects.tutorial.reader import Reader, steps
from tests.support.process import PATIENCE_SECONDS, Process
from tests.support.server import ROOT, free_port

PAGE = ROOT / "docs/migrating.md"
PLACE = re.compile(r"\*\*(Before|After)\*\*, `([\w/.]+)`:\s*\Z")

FILES = {
    "manage.py": """
        import os, sys
        from django.core.management import execute_from_command_line
        os.environ["DJANGO_SETTINGS_MODULE"] = "site_settings"
        execute_from_command_line(sys.argv)
    """,
    "site_settings.py": """
        from importlib.util import find_spec
        SECRET_KEY = "of this test"
        DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
        ALLOWED_HOSTS = ["127.0.0.1"]
        INSTALLED_APPS = [
            "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
            "rest_framework", "bindserver", "django_eventstream", "shop",
        ]
        MIDDLEWARE = [
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ]
        ROOT_URLCONF = "root_urls"
        ASGI_APPLICATION = "site_asgi.application"
        CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
        DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "site.sqlite3"}}
    """,
    "site_asgi.py": """
        import os
        import bindserver
        from django.core.asgi import get_asgi_application
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_settings")
        application = bindserver.asgi.wrap(get_asgi_application())
    """,
    "site_urls.py": "urlpatterns = []",
    "root_urls.py": """
        from importlib.util import find_spec
        from django.contrib.auth import login
        from django.contrib.auth.models import User
        from django.http import HttpResponse
        from django.urls import include, path
        from rest_framework.routers import DefaultRouter
        from shop.models import Product
        def write(request, what):
            rows = Product.objects
            if what == "login":
                login(request, User.objects.get_or_create(username="ann")[0])
            elif what == "create":
                rows.create(pk=2, name="pot", price=5)
            elif what == "save":
                Product(pk=1, name="cup", price=4).save()
            elif what == "bulk":
                rows.update(price=7)
            elif what == "hide":
                rows.filter(pk=1).update(active=False)
            elif what == "delete":
                rows.get(pk=2).delete()
            return HttpResponse(status=204)
        urlpatterns = [path("write/<str:what>", write), path("", include("site_urls"))]
        if find_spec("shop.views"):
            from shop.views import ProductViewSet
            router = DefaultRouter()
            router.register("products", ProductViewSet, basename="product")
            urlpatterns.append(path("api/", include(router.urls)))
    """,
    "shop/__init__.py": "",
    "shop/models.py": """
        from django.db import models
        class Product(models.Model):
            name = models.CharField(max_length=50)
            price = models.IntegerField()
            active = models.BooleanField(default=True)
    """,
    "shop/serializers.py": """
        from rest_framework.serializers import ModelSerializer
        from shop.models import Product
        class ProductSerializer(ModelSerializer):
            class Meta:
                model = Product
                fields = ["id", "name", "price"]
    """,
}

ROUTED = """
    import os
    from channels.routing import ProtocolTypeRouter, URLRouter
    from django.core.asgi import get_asgi_application
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_settings")
    http = get_asgi_application()
    from django.urls import path
    from shop.consumers import ProductConsumer
    websocket = URLRouter([path("ws/products/", ProductConsumer.as_asgi())])
    application = ProtocolTypeRouter({"http": http, "websocket": websocket})
"""
"""How a page without routes of its own would be served."""


def blocks(chapter: str, which: str) -> dict[str, str]:
    """Return the files that a chapter shows.

    Args:
        chapter: its title.
        which: "Before" or "After".
    """
    text = PAGE.read_text().split(f"\n## {chapter}\n")[1].split("\n## ")[0]
    found: dict[str, str] = {}
    for step in steps(PAGE):
        if step.text in text and (place := PLACE.search(step.words)) and place[1] == which:
            found[place[2]] = step.text
    return found


class Site:
    """A project with some files of a chapter, served.

    Args:
        folder: an empty one.
        files: beside those that each project has, or in place of them.
        plain: whether any ASGI server serves it, and not bindserver's own command.
    """

    def __init__(self, folder: Path, files: dict[str, str], *, plain: bool = False) -> None:
        for name, text in {**FILES, **files}.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(dedent(text))
        self.port = free_port()
        self._reader = Reader(folder, {})
        self._reader.env["PYTHONPATH"] = f"{ROOT}:{folder}"
        self._reader.run(f"{sys.executable} manage.py migrate --run-syncdb -v 0")
        make = "from shop.models import Product; Product.objects.create(name='cup', price=3)"
        self._reader.run(f'{sys.executable} manage.py shell -v 0 -c "{make}"')
        own = ["manage.py", "bindserver", "--port", str(self.port)]
        any_s = ["-m", "uvicorn", "site_asgi:application", "--port", str(self.port)]
        self.process = Process(
            [sys.executable, *(any_s if plain else own)],
            port=self.port,
            env=self._reader.env,
            cwd=folder,
            log=folder / "log",
        )

    def __enter__(self) -> Self:
        self.process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: object, trace: TracebackType | None
    ) -> None:
        self.process.stop()
        assert "Traceback" not in self.process.log, self.process.log

    def ask(self, path: str, **headers: str) -> tuple[int, Message, str]:
        """Return status, headers and text of an answer over HTTP."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        try:
            answer = urllib.request.urlopen(request, timeout=PATIENCE_SECONDS)
        except urllib.error.HTTPError as refusal:
            answer = refusal
        with answer:
            return answer.status, answer.headers, answer.read().decode()

    def write(self, what: str) -> Message:
        """Have the project's own code write, in the process that serves; return the headers."""
        status, headers, text = self.ask(f"/write/{what}")
        assert status == 204, text
        return headers
