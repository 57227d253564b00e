"""The smallest project that bindings work in: no sessions, no admin, no DRF, no channel layer."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.projects.tutorial.reader import Reader
from tests.support.process import Process
from tests.support.server import ROOT, free_port
from tests.support.talk import talking

FILES = {
    "manage.py": """
        import os, sys
        from django.core.management import execute_from_command_line
        os.environ["DJANGO_SETTINGS_MODULE"] = "site_settings"
        execute_from_command_line(sys.argv)
    """,
    "site_settings.py": """
        SECRET_KEY = "of this test"
        DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
        ALLOWED_HOSTS = ["127.0.0.1"]
        INSTALLED_APPS = [
            "django.contrib.auth", "django.contrib.contenttypes", "bindserver", "notes"
        ]
        ROOT_URLCONF = "site_urls"
        ASGI_APPLICATION = "site_asgi.application"
        DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "site.sqlite3"}}
    """,
    "site_urls.py": """
        from django.urls import include, path
        urlpatterns = [path("a/prefix/of/mine/", include("bindserver.urls"))]
    """,
    "site_asgi.py": """
        import os
        import bindserver
        from django.core.asgi import get_asgi_application
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_settings")
        application = bindserver.asgi.wrap(get_asgi_application())
    """,
    "notes/__init__.py": "",
    "notes/models.py": """
        from django.db import models
        class Note(models.Model):
            text = models.CharField(max_length=50)
    """,
    "notes/bindings.py": """
        from bindserver import Binding
        from notes.models import Note
        class NoteBinding(Binding):
            model = Note
            event = "notes"
            fields = ["id", "text"]
    """,
}


async def test_it_serves_bindings_at_any_prefix(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("\n".join(line[8:] for line in text.splitlines()))
    reader = Reader(tmp_path, {})
    reader.env["PYTHONPATH"] = str(ROOT)
    reader.run(f"{sys.executable} manage.py migrate --run-syncdb -v 0")
    port = free_port()
    command = [sys.executable, "manage.py", "bindserver", "--port", str(port)]
    with Process(command, port=port, env=reader.env, cwd=tmp_path, log=tmp_path / "log") as process:
        status, text = process.get("a/prefix/of/mine/")
        url = f"http://127.0.0.1:{port}/a/prefix/of/mine/notes/"
        assert (status, json.loads(text)[0]["url"]) == (200, url)
        async with talking(f"ws://127.0.0.1:{port}/ws/") as talk:
            assert (await talk.follow("notes")).actions == ["sync"]
            await talk.say("$auth")
            assert (await talk.hear_data("$auth"))["action"] == "error"
    assert "Traceback" not in process.log
    assert "warning" not in process.log.lower()
