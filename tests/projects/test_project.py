"""The standalone server's project: settings from the environment alone, and safe ones."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bindserver.conf import DEFAULTS
from bindserver_project.environment import DEVELOPMENT_KEY, Environment
from tests.support.process import Process
from tests.support.server import ROOT, free_port
from tests.support.talk import talking

SECRET = "ubQ0ZTgW1tI9pJxN3v7sKcE5yLrHf2aM8dOoVwXqGzBnPiUk"
PRODUCTION = {"SECRET_KEY": SECRET + "and more", "ALLOWED_HOSTS": "live.example"}


def manage(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command with these variables, and no others that the project might read."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, str(ROOT / "manage.py"), *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, cwd=ROOT)


def settings(**variables: str) -> dict[str, Any]:
    """Return settings as the server would have them."""
    names = ["DEBUG", "BINDSERVER", "INSTALLED_APPS", "SESSION_COOKIE_SECURE"]
    code = f"from django.conf import settings as s; print({{n: getattr(s, n) for n in {names}}})"
    done = manage("shell", "--no-imports", "-c", code, **variables)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = eval(done.stdout)
    return found


def refusal(*arguments: str, **variables: str) -> str:
    """Return the one line with which a command refuses these variables."""
    done = manage(*(arguments or ("check",)), **variables)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.strip()


class TestProduction:
    @pytest.mark.parametrize(
        ("secret", "told"),
        [
            ("", "SECRET_KEY is not set. "),
            (DEVELOPMENT_KEY, "SECRET_KEY is the one for development. "),
            ("django-insecure-" + SECRET * 2, "SECRET_KEY is the one for development. "),
            ("short", "SECRET_KEY is too easy to guess: "),
            ("a" * 100, "SECRET_KEY is too easy to guess: "),
        ],
    )
    def test_does_not_start_without_a_secret(self, secret: str, told: str) -> None:
        line = refusal("bindserver", SECRET_KEY=secret)
        assert line.startswith(f"manage.py: {told}")
        assert "Give the server a long random one" in line
        assert secret not in line or not secret

    def test_says_what_makes_a_secret_too_easy(self) -> None:
        told = "it has fewer than 50 characters, or fewer than 5 different ones. "
        assert told in refusal("bindserver", SECRET_KEY="abcd" * 25)

    def test_the_secret_may_be_in_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text(PRODUCTION["SECRET_KEY"] + "\n")
        assert manage("check", SECRET_KEY_FILE=str(tmp_path / "secret")).returncode == 0
        away = refusal(SECRET_KEY_FILE=str(tmp_path / "none"))
        assert away.endswith("none: No such file or directory.")

    def test_passes_django_s_check_for_deployment(self) -> None:
        done = manage(
            "check", "--deploy", "--fail-level", "WARNING", HSTS_SECONDS="3600", **PRODUCTION
        )
        assert done.returncode == 0, done.stderr
        assert "no issues" in done.stdout

    def test_is_what_there_is_unless_debug_mode_is_asked_for(self) -> None:
        found = settings(**PRODUCTION)
        assert found["DEBUG"] is False
        assert found["SESSION_COOKIE_SECURE"] is True
        assert "bindserver_project.shop" not in found["INSTALLED_APPS"]

    def test_visitors_have_no_triggers_installed_unless_that_is_asked_for(self) -> None:
        assert settings(**PRODUCTION)["BINDSERVER"] == {"RUNTIME_INSTALL": False}
        asked = settings(BINDSERVER_RUNTIME_INSTALL="1", **PRODUCTION)
        assert asked["BINDSERVER"] == {"RUNTIME_INSTALL": True}

    def test_debug_mode_needs_nothing(self) -> None:
        found = settings(DEBUG="1")
        assert (found["DEBUG"], found["SESSION_COOKIE_SECURE"]) == (True, False)


class TestVariables:
    def test_name_databases_of_three_kinds(self, tmp_path: Path) -> None:
        urls = {
            f"sqlite:///{tmp_path}/a.db": ("sqlite3", f"{tmp_path}/a.db"),
            "postgres://me:secret@db:5433/shop": ("postgresql", "shop"),
            "mysql://me:secret@db/shop": ("mysql", "shop"),
        }
        for url, (engine, name) in urls.items():
            found = Environment({"DATABASE_URL": url}).database("DATABASE_URL", "")
            assert found["ENGINE"] == f"django.db.backends.{engine}"
            assert found["NAME"] == name
        sqlite = Environment({}).database("DATABASE_URL", "sqlite:///x.db?timeout=3")
        assert "journal_mode=WAL" in sqlite["OPTIONS"]["init_command"]

    @pytest.mark.parametrize("kind", ["postgresql", "mysql"])
    def test_a_database_that_takes_the_connection_and_never_answers_is_given_up(
        self, kind: str
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            host, port = silent.getsockname()
            url = f"{kind}://me:hunter2@{host}:{port}/shop"
            said = refusal("bindings", "capture", "status", DEBUG="1", DATABASE_URL=url)
        assert f"{host}:{port}" in said
        assert "hunter2" not in said

    def test_how_long_to_wait_for_one_is_the_url_s_to_say(self) -> None:
        for kind in ("postgresql", "mysql"):
            found = Environment({}).database("DATABASE_URL", f"{kind}://db/shop")
            assert found["OPTIONS"] == {"connect_timeout": 5}
            url = f"{kind}://db/shop?connect_timeout=60"
            found = Environment({}).database("DATABASE_URL", url)
            assert int(found["OPTIONS"]["connect_timeout"]) == 60

    @pytest.mark.parametrize("url", ["oracel://me:hunter2@db/shop", "foo://", "shop.sqlite3"])
    def test_a_url_that_is_none_is_not_repeated_and_four_are_shown(self, url: str) -> None:
        line = refusal(DEBUG="1", DATABASE_URL=url)
        assert line.startswith("manage.py: DATABASE_URL is a URL such as ")
        for example in ("sqlite:////", "postgresql://", "mysql://"):
            assert example in line
        for kind in ("SQLite", "PostgreSQL", "MariaDB", "MySQL"):
            assert f" for {kind}" in line
        assert "hunter2" not in line

    @pytest.mark.parametrize("url", ["postgres://shop", "mysql://me:hunter2@db/"])
    def test_a_url_that_names_no_database_is_told_so(self, url: str) -> None:
        line = refusal(DEBUG="1", DATABASE_URL=url)
        told = "manage.py: DATABASE_URL lacks the name of a database. It is a URL such as "
        assert line.startswith(told)
        assert "hunter2" not in line

    def test_a_service_of_postgresql_s_names_its_database_itself(self) -> None:
        url = "postgresql:///?service=shop"
        found = Environment({"DATABASE_URL": url}).database("DATABASE_URL", "")
        assert found["OPTIONS"] == {"service": "shop"}

    def test_name_redis(self) -> None:
        layer = Environment({"REDIS_URL": "redis://r:6379/1"}).channel_layers("REDIS_URL")[
            "default"
        ]
        assert layer["BACKEND"] == "channels_redis.pubsub.RedisPubSubChannelLayer"
        host = {"address": "redis://r:6379/1", "max_connections": 100}
        assert layer["CONFIG"] == {"hosts": [host]}
        assert Environment({}).channel_layers("REDIS_URL") == {}
        assert "such as redis://" in refusal(DEBUG="1", REDIS_URL="localhost:6379")

    @pytest.mark.parametrize("app", ["nosuchapp", "nosuch.apps.Config"])
    def test_an_app_that_is_not_there_is_named(self, app: str) -> None:
        line = refusal(DEBUG="1", BINDSERVER_APPS=f"tests.app, {app}")
        assert f"BINDSERVER_APPS names {app!r}, and there is no such module." in line

    def test_fill_the_bindserver_setting(self) -> None:
        found = settings(
            DEBUG="1",
            BINDSERVER_COMPARE_SECONDS="2.5",
            BINDSERVER_MAX_ROWS="20000",
            BINDSERVER_ORIGINS="https://a.example, https://b.example",
            BINDSERVER_CAPTURE="signals",
            BINDSERVER_RING_BYTES="",
        )
        assert found["BINDSERVER"] == {
            "COMPARE_SECONDS": 2.5,
            "MAX_ROWS": 20000,
            "ORIGINS": ["https://a.example", "https://b.example"],
            "CAPTURE": "signals",
        }
        assert isinstance(found["BINDSERVER"]["MAX_ROWS"], int)

    def test_every_key_of_the_setting_can_be_written(self) -> None:
        for name, default in DEFAULTS.items():
            value = ["a", "b"] if default == [] else default  # an empty list cannot be written
            text = "1" if value is None else ", ".join(value) if value == ["a", "b"] else str(value)
            found = Environment({f"BINDSERVER_{name}": text}).bindserver()
            assert value is None or found == {name: value}

    def test_what_other_programs_put_there_is_passed_over(self) -> None:
        values = {
            "BINDSERVER_SERVICE_HOST": "10.0.0.1",
            "BINDSERVER_PORT": "tcp://10.0.0.1:80",
            "BINDSERVER_PORT_80_TCP": "tcp://10.0.0.1:80",
            "BINDSERVER_REDIS_SERVICE_HOST": "10.0.0.2",
            "BINDSERVER_REDIS_SERVICE_PORT_REDIS": "6379",
            "BINDSERVER_REDIS_PORT": "tcp://10.0.0.2:6379",
            "BINDSERVER_REDIS_PORT_6379_TCP_ADDR": "10.0.0.2",
            "BINDSERVER_APPS": "shop",
        }
        assert Environment(values).bindserver() == {}

    @pytest.mark.parametrize(
        ("name", "value", "told"),
        [
            ("BINDSERVER_MAX_ROW", "5", "bindserver has no setting MAX_ROW, which BINDSERVER_MAX"),
            ("BINDSERVER_REDIS_PORT", "6379", "bindserver has no setting REDIS_PORT, which"),
            ("BINDSERVER_MAX_ROWS", "many", "BINDSERVER_MAX_ROWS is a number, not 'many'."),
            ("DEBUG", "maybe", "DEBUG is 1 or 0, not 'maybe'."),
            ("HSTS_SECONDS", "a year", "HSTS_SECONDS is a whole number, not 'a year'."),
            ("LOG_LEVEL", "loud", "LOG_LEVEL is one of critical, error"),
        ],
    )
    def test_that_cannot_be_understood_are_named(self, name: str, value: str, told: str) -> None:
        assert told in refusal(**{"DEBUG": "1", name: value})

    def test_a_value_out_of_range_is_told_by_a_check(self) -> None:
        done = manage("check", DEBUG="1", BINDSERVER_MAX_ROWS="-1")
        assert done.returncode == 1
        assert "bindserver.E001" in done.stderr


async def test_it_serves_the_apps_that_it_is_told_and_no_demo(tmp_path: Path) -> None:
    port = free_port()
    env = {
        "PATH": os.environ["PATH"],
        **PRODUCTION,
        "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
        "BINDSERVER_APPS": "tests.app",
    }
    for command in (["migrate", "--run-syncdb", "-v", "0"], ["bindings", "capture", "install"]):
        done = manage(*command, **env)
        assert done.returncode == 0, done.stderr
    command = [sys.executable, "manage.py", "bindserver", "--port", str(port)]
    with Process(command, port=port, env=env, cwd=ROOT, log=tmp_path / "log") as process:
        async with talking(f"ws://127.0.0.1:{port}/ws/") as talk:
            assert (await talk.follow("products")).actions == ["sync"]
        assert process.get("")[0] == 400  # not an allowed host
        assert json.loads(process.get("readyz")[1]) == {"status": "ready"}
        assert "shop" not in process.log


LISTED = """
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import RequestFactory
request = RequestFactory().get("/admin/")
for staff in (True, False):
    request.user = User(username="ann", is_staff=staff)
    listed = [app["models"] for app in admin.site.get_app_list(request, "bindserver")]
    print([model["admin_url"] for models in listed for model in models])
print([model.__name__ for model in apps.get_models() if model._meta.app_label == "bindserver"])
"""


class TestTheInspectorInTheAdmin:
    """A line in the index, and nothing in the database."""

    def test_is_listed_for_those_who_may_see_it_and_is_no_model_of_django_s(self) -> None:
        done = manage("shell", "--no-imports", "-c", LISTED, DEBUG="1")
        assert done.stdout.splitlines() == ["['/admin/bindserver/inspector/']", "[]", "[]"], done

    def test_needs_no_migration_and_is_in_no_dump(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'db.sqlite3'}"
        for words in (["makemigrations", "--check"], ["migrate"], ["dumpdata"]):
            done = manage(*words, DEBUG="1", DATABASE_URL=url)
            assert done.returncode == 0, done
        assert "inspector" not in done.stdout
