"""What a module with bindings asks of the database while it is imported is noticed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.process import Process
from tests.support.server import ROOT, free_port
from tests.support.talk import talking

SETTINGS = """
SECRET_KEY = "a key for this test alone, long enough to sign with"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = [
    "django.contrib.auth", "django.contrib.contenttypes", "rest_framework", "bindserver", "shop",
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
DATABASES["default"]["OPTIONS"] = {"init_command": "PRAGMA journal_mode=WAL"}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "urls"
REST_FRAMEWORK = {"UNAUTHENTICATED_USER": None, "DEFAULT_AUTHENTICATION_CLASSES": []}
"""
MODELS = """
from django.db import models

class Page(models.Model):
    title = models.CharField(max_length=50)
    public = models.BooleanField(default=True)
"""
URLS = """
from django.urls import include, path
from shop import bindings, views

urlpatterns = [path("bindings/", include("bindserver.urls"))]
"""
ASGI = """
import os
import bindserver
from django.core.asgi import get_asgi_application

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
application = bindserver.asgi.wrap(get_asgi_application())
"""
SOUND = """
from bindserver import Binding
from shop.models import Page

class Sound(Binding):
    model = Page
    event = "sound"
    fields = ["id", "title"]

def public(pages):
    hidden = [page.pk for page in Page.objects.filter(public=False)]
    return pages.exclude(pk__in=hidden)
"""
IN_A_CLASS = """
class Frozen(Sound):
    event = "frozen"
    queryset = public(Page.objects.all())
"""
IN_A_DICT = """
class Frozen(Sound):
    event = "frozen"
    filters = {"pk__in": list(Page.objects.values_list("pk", flat=True))}
"""
IN_A_COMPREHENSION = """
class Frozen(Sound):
    event = "frozen"
    filters = {"pk__in": [page.pk for page in Page.objects.all()]}
"""
BY_GET = """
class Frozen(Sound):
    event = "frozen"
    filters = {"pk": Page.objects.get().pk}
"""
IN_THE_MODULE = """
FIRST = Page.objects.first()

class Frozen(Sound):
    event = "frozen"
    filters = {"pk": FIRST and FIRST.pk}
"""
IN_A_CLASS_OF_ANOTHER_KIND = """
from rest_framework import serializers

class PageSerializer(serializers.ModelSerializer):
    title = serializers.ChoiceField([page.title for page in Page.objects.all()])

    class Meta:
        model = Page
        fields = ["id", "title"]

class Frozen(Binding):
    model = Page
    event = "frozen"
    serializer_class = PageSerializer
"""
KINDS = {
    name: value for name, value in dict(globals()).items() if name.startswith(("IN_A", "IN_THE"))
}
IN_A_VIEW = """
from bindserver import Binding, BoundWebsocketView
from shop.bindings import public
from shop.models import Page

class Frozen(BoundWebsocketView):
    event = "frozen"
    binding = Binding(queryset=public(Page.objects.all()), fields=["id"])
"""


class Project:
    """A project in a folder of its own."""

    def __init__(self, folder: Path, bindings: str, views: str = "") -> None:
        self.folder = folder
        self.env = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{folder}:{ROOT}"}
        self.env |= {"DJANGO_SETTINGS_MODULE": "settings", "PYTHONUNBUFFERED": "1"}
        files = {"settings": SETTINGS, "urls": URLS, "asgi": ASGI, "shop/__init__": ""}
        files |= {"shop/models": MODELS, "shop/bindings": SOUND + bindings, "shop/views": views}
        (folder / "shop").mkdir()
        for name, content in files.items():
            (folder / f"{name}.py").write_text(dedent(content))

    def manage(self, *words: str) -> tuple[int, str]:
        """Run a command, and return its status and what it said."""
        done = subprocess.run(
            [sys.executable, "-m", "django", *words],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout + done.stderr

    def migrate(self) -> None:
        for words in (["makemigrations", "shop"], ["migrate"], ["bindings", "capture", "install"]):
            status, told = self.manage(*words)
            assert status == 0, told

    def serve(self) -> Process:
        port = free_port()
        command = [sys.executable, "-m", "uvicorn", "asgi:application", "--port", str(port)]
        return Process(command, port=port, env=self.env, cwd=self.folder, log=self.folder / "log")


@pytest.fixture(params=KINDS)
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Project:
    return Project(tmp_path, KINDS[request.param])


def test_the_check_names_the_binding_and_what_to_write(project: Project) -> None:
    status, told = project.manage("check")
    assert status == 1
    assert "bindserver.E022" in told
    assert "Frozen: the database was asked while shop.bindings was imported, at" in told
    assert "def get_queryset(self)" in told
    assert "Traceback" not in told


def test_the_tables_can_be_made_all_the_same(project: Project) -> None:
    for words in (["makemigrations", "shop"], ["migrate"], ["bindings", "capture", "install"]):
        status, told = project.manage(*words)
        assert status == 0, told
        assert "bindserver.W022" in told


def test_a_module_that_cannot_do_without_its_row_is_left_out(tmp_path: Path) -> None:
    project = Project(tmp_path, BY_GET)
    status, told = project.manage("check")  # the urlconf imports it again, and fails as ever
    assert status == 1
    assert "shop.bindings is left out: the database was asked" in told
    assert "def get_queryset(self)" in told
    (tmp_path / "urls.py").write_text("urlpatterns = []")
    project.migrate()
    status, told = project.manage("check")
    assert (status, "Traceback" in told, "bindserver.E022" in told) == (1, False, True)


@pytest.mark.parametrize("bindings", [IN_A_CLASS, IN_THE_MODULE], ids=["class", "module"])
async def test_a_server_refuses_what_is_frozen(bindings: str, tmp_path: Path) -> None:
    project = Project(tmp_path, bindings)
    project.migrate()
    process = project.serve()
    try:
        process.start()
        async with talking(f"ws://127.0.0.1:{process.port}/ws/") as talk:
            await talk.say("frozen")
            data = await talk.hear_data("frozen")
            assert data["payload"]["code"] == "internal"
            if bindings is IN_A_CLASS:
                assert (await talk.follow("sound")).replica.rows == []
            else:  # nobody knows what of the module has used it
                await talk.say("sound")
                assert (await talk.hear_data("sound"))["payload"]["code"] == "internal"
        assert "(bindserver.E022) Frozen: the database was asked" in process.log
    finally:
        process.kill()


async def test_a_server_without_tables_goes_on_with_the_rest(tmp_path: Path) -> None:
    project = Project(tmp_path, IN_A_CLASS)
    (tmp_path / "urls.py").write_text("urlpatterns = []")
    process = project.serve()
    try:
        process.start()
        assert "no such table" in process.log
        async with talking(f"ws://127.0.0.1:{process.port}/ws/") as talk:
            for event, code in {"frozen": "unknown_event", "sound": "internal"}.items():
                await talk.say(event)
                assert (await talk.hear_data(event))["payload"]["code"] == code
    finally:
        process.kill()


def test_a_view_that_asks_too_early_is_told(tmp_path: Path) -> None:
    project = Project(tmp_path, "", IN_A_VIEW)
    status, told = project.manage("check", "--tag", "bindserver")
    assert status == 1
    assert "Frozen: the database was asked while shop.views was imported" in told


QUERYSETS = """
from shop.models import Page

def public(): return [page.pk for page in Page.objects.all()]

LIVE = public()
"""
FROM_ANOTHER = """
from shop.querysets import LIVE

class Frozen(Sound):
    event = "frozen"
    filters = {"pk__in": LIVE}
"""
VIEW_FROM_ANOTHER = """
from shop.querysets import LIVE
from bindserver import Binding, BoundWebsocketView
from shop.models import Page

class Viewed(BoundWebsocketView):
    event = "viewed"
    binding = Binding(model=Page, filters={"pk__in": LIVE}, fields=["id"])
"""


def with_another(tmp_path: Path, bindings: str, views: str = "") -> Project:
    project = Project(tmp_path, bindings, views)
    (tmp_path / "shop/querysets.py").write_text(QUERYSETS)
    (tmp_path / "shop/between.py").write_text("from shop.querysets import LIVE")
    return project


@pytest.mark.parametrize("way", ["shop.querysets", "shop.between"])
@pytest.mark.parametrize("urls", [URLS, "urlpatterns = []"], ids=["urls", "none"])
def test_what_a_module_asks_that_it_imports_is_told_with_both(
    way: str, urls: str, tmp_path: Path
) -> None:
    project = with_another(tmp_path, FROM_ANOTHER.replace("shop.querysets", way))
    (tmp_path / "urls.py").write_text(urls)
    project.migrate()
    status, told = project.manage("check")
    assert (status, "Traceback" in told) == (1, False), told
    assert "Frozen: the database was asked while shop.bindings was imported, by" in told
    assert "by shop.querysets, which it imports, at" in told
    assert "shop/querysets.py:6: SELECT" in told


def test_so_is_what_a_view_s_module_asks_by_another(tmp_path: Path) -> None:
    project = with_another(tmp_path, "", VIEW_FROM_ANOTHER)
    (tmp_path / "urls.py").write_text("urlpatterns = []")
    project.migrate()
    (tmp_path / "urls.py").write_text("from shop import views\nurlpatterns = []")
    status, told = project.manage("check", "--tag", "bindserver")
    assert status == 1
    assert "Viewed: the database was asked while shop.views was imported, by shop.querys" in told


async def test_a_server_refuses_what_another_module_has_frozen(tmp_path: Path) -> None:
    project = with_another(tmp_path, FROM_ANOTHER)
    project.migrate()
    process = project.serve()
    try:
        process.start()
        async with talking(f"ws://127.0.0.1:{process.port}/ws/") as talk:
            await talk.say("frozen")
            assert (await talk.hear_data("frozen"))["payload"]["code"] == "internal"
    finally:
        process.kill()


def test_what_a_module_without_bindings_asks_is_left_alone(tmp_path: Path) -> None:
    project = with_another(tmp_path, "", "from shop.querysets import LIVE")
    (tmp_path / "urls.py").write_text("urlpatterns = []")
    project.migrate()
    (tmp_path / "urls.py").write_text(URLS)
    status, told = project.manage("check")
    assert (status, "bindserver.E022" in told) == (0, False), told


def test_what_needs_no_database_is_left_alone(tmp_path: Path) -> None:
    lazy = 'class Lazy(Sound):\n    event = "lazy"\n    queryset = Page.objects.filter(public=True)'
    project = Project(tmp_path, f"\n{lazy}\n")
    project.migrate()
    status, told = project.manage("check")
    assert (status, "bindserver." in told) == (0, False), told


def test_other_failures_of_a_module_are_not_hidden(tmp_path: Path) -> None:
    status, told = Project(tmp_path, "\n1 / 0\n").manage("check")
    assert status == 1
    assert "ZeroDivisionError" in told
