"""deploy/bindserver.service and the files for compose, read as their programs would."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management.base import CommandParser

from bindserver.management.commands.bindserver import Command
from tests.support.server import ROOT

UNIT = ROOT / "deploy/bindserver.service"


@pytest.fixture
def unit() -> configparser.ConfigParser:
    parser: Any = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read_string(UNIT.read_text())
    kept: configparser.ConfigParser = parser
    return kept


def test_the_unit_s_command_is_one_that_the_server_takes(unit: configparser.ConfigParser) -> None:
    _, manage, name, *options = unit["Service"]["ExecStart"].split()
    assert (manage, name) == ("manage.py", "bindserver")
    parser = CommandParser()
    Command().add_arguments(parser)
    assert parser.parse_args(options).port == 8000


def test_the_unit_waits_longer_than_the_server_takes_to_stop(
    unit: configparser.ConfigParser,
) -> None:
    from bindserver.server.runner import STOP_SECONDS

    assert int(unit["Service"]["TimeoutStopSec"]) > 2 * STOP_SECONDS


def run_systemd(tmp_path: Path, *arguments: str) -> str:
    """Have systemd judge the unit, with a program that is here in place of its own."""
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("no systemd here")
    copy = tmp_path / UNIT.name
    python = "/srv/bindserver/venv/bin/python"
    text = UNIT.read_text()
    assert python in text
    copy.write_text(text.replace(python, sys.executable))
    done = subprocess.run([tool, *arguments, str(copy)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    assert UNIT.name not in run_systemd(tmp_path, "verify", "--man=no")


def test_systemd_finds_the_unit_little_exposed(tmp_path: Path) -> None:
    """The threshold is in tenths: 2.0 is the better half of "OK"."""
    assert "OK" in run_systemd(tmp_path, "security", "--offline=true", "--threshold=20")


COMPOSE = {
    "sqlite": ["compose.yaml"],
    "postgresql": ["compose.yaml", "compose.postgresql.yaml"],
}


@pytest.fixture(scope="module", params=sorted(COMPOSE))
def compose(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in COMPOSE[request.param]:
        found = merge(found, yaml.safe_load((ROOT / "deploy" / name).read_text()))
    return found


def merge(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return two files as one, as compose takes them: maps are merged, all else is replaced."""
    merged = {**one, **other}
    for name in one.keys() & other.keys():
        if isinstance(one[name], dict) and isinstance(other[name], dict):
            merged[name] = merge(one[name], other[name])
    return merged


def test_every_service_can_be_had(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        if "build" in service:
            context = (ROOT / "deploy" / service["build"]["context"]).resolve()
            assert (context / "Dockerfile").exists()
        else:
            assert ":" in service["image"]


def test_services_wait_for_services_that_are_there(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert set(service.get("depends_on", {})) <= set(compose["services"])


def test_volumes_are_declared_and_files_are_in_the_repository(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for source in (volume.split(":")[0] for volume in service.get("volumes", [])):
            if source in ("./apps", "./tls"):
                continue  # the user's
            if source.startswith("."):
                assert (ROOT / "deploy" / source).exists()
            else:
                assert source in compose["volumes"]


def test_variables_are_those_of_the_docs(compose: dict[str, Any]) -> None:
    told = (ROOT / "docs/deployment.md").read_text()
    ours = [service for service in compose["services"].values() if "build" in service]
    for service in ours:
        for name in set(service.get("environment", {})) - {"PYTHONPATH"}:
            assert f"| `{name}` |" in told


def test_all_that_touches_the_database_is_on_the_same_one() -> None:
    base, added = (yaml.safe_load((ROOT / "deploy" / n).read_text()) for n in COMPOSE["postgresql"])
    services = merge(base, added)["services"]
    on = {
        services[name]["environment"]["DATABASE_URL"] for name in ("migrate", "capture", "server")
    }
    assert len(on) == 1
    assert services["postgres"]["environment"]["POSTGRES_DB"] in on.pop()
    assert "postgres" in services["migrate"]["depends_on"]


def test_what_nginx_is_told_to_replace_is_in_its_file(compose: dict[str, Any]) -> None:
    script = compose["services"]["nginx"]["command"][-1]
    assert "s/127.0.0.1:8000/bindserver:8000/" in script
    assert (ROOT / "deploy/nginx.conf").read_text().count("127.0.0.1:8000") == 1
    assert compose["services"]["server"]["networks"]["default"]["aliases"] == ["bindserver"]
