"""The units for systemd and the files for compose, read as their programs would."""

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

from bindserver.conf import DEFAULTS
from bindserver.management.commands.bindserver import Command
from bindserver.server.draining import SPARE_SECONDS, seconds_to_end
from bindserver.server.runner import DRAIN_SECONDS
from tests.support.server import ROOT

UNIT = ROOT / "deploy/bindserver.service"
PURGE = ROOT / "deploy/bindserver-purge.service"
TIMER = ROOT / "deploy/bindserver-purge.timer"


def read(path: Path) -> configparser.ConfigParser:
    parser: Any = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read_string(path.read_text())
    kept: configparser.ConfigParser = parser
    return kept


@pytest.fixture
def unit() -> configparser.ConfigParser:
    return read(UNIT)


def test_the_unit_s_command_is_one_that_the_server_takes(unit: configparser.ConfigParser) -> None:
    _, manage, name, *options = unit["Service"]["ExecStart"].split()
    assert (manage, name) == ("manage.py", "bindserver")
    parser = CommandParser()
    Command().add_arguments(parser)
    assert parser.parse_args(options).port == 8000


def test_the_unit_waits_longer_than_the_server_takes_to_stop(
    unit: configparser.ConfigParser,
) -> None:
    assert int(unit["Service"]["TimeoutStopSec"]) > seconds_to_end(DRAIN_SECONDS) + SPARE_SECONDS


def test_the_unit_is_never_given_up(unit: configparser.ConfigParser) -> None:
    """By default five starts within ten seconds are the last ones."""
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert unit["Service"]["Restart"] == "always"


def test_a_reload_is_a_signal_to_the_server_alone(unit: configparser.ConfigParser) -> None:
    assert unit["Service"]["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert unit["Service"]["KillMode"] == "mixed"


def test_the_log_is_purged_every_hour_under_the_server_s_user(
    unit: configparser.ConfigParser,
) -> None:
    purge, timer = read(PURGE)["Service"], read(TIMER)
    assert purge["ExecStart"].split()[1:] == ["manage.py", "bindings", "capture", "purge"]
    assert timer["Timer"]["OnCalendar"] == "hourly"
    assert TIMER.stem == PURGE.stem  # which is what a timer starts
    for name in ("User", "EnvironmentFile", "WorkingDirectory", "ProtectSystem", "StateDirectory"):
        assert purge[name] == unit["Service"][name]


def run_systemd(tmp_path: Path, path: Path, *arguments: str) -> str:
    """Have systemd judge a unit, with a program that is here in place of its own."""
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("no systemd here")
    python = "/srv/bindserver/venv/bin/python"
    for unit in (UNIT, PURGE, TIMER):
        (tmp_path / unit.name).write_text(unit.read_text().replace(python, sys.executable))
    command = [tool, *arguments, str(tmp_path / path.name)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("path", [UNIT, PURGE, TIMER], ids=lambda path: path.name)
def test_systemd_understands_the_units(tmp_path: Path, path: Path) -> None:
    assert "bindserver" not in run_systemd(tmp_path, path, "verify", "--man=no")


@pytest.mark.parametrize("path", [UNIT, PURGE], ids=lambda path: path.name)
def test_systemd_finds_the_units_little_exposed(tmp_path: Path, path: Path) -> None:
    """The threshold is in tenths: 2.0 is the better half of "OK"."""
    assert "OK" in run_systemd(tmp_path, path, "security", "--offline=true", "--threshold=20")


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
            assert f"| `{name}` |" in told or name.removeprefix("BINDSERVER_") in DEFAULTS


def test_nobody_is_root_and_nothing_is_written_but_volumes(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["mem_limit"]
        if name != "postgres":  # whose entry point needs both, and then does without
            assert service["cap_drop"] == ["ALL"]
            assert service.get("user") != "0"
        if "build" in service:
            assert service["read_only"] is True
            assert service["tmpfs"] == ["/tmp"]


def test_memory_holds_the_views_and_more(compose: dict[str, Any]) -> None:
    server = compose["services"]["server"]
    views = int(server["environment"]["BINDSERVER_MAX_VIEWS_BYTES"].split(":-")[1].rstrip("}"))
    assert server["mem_limit"] == "${MEMORY:-1g}"
    assert views + 2**29 <= 2**30


def test_compose_waits_longer_than_the_server_takes_to_stop(compose: dict[str, Any]) -> None:
    seconds = int(compose["services"]["server"]["stop_grace_period"].rstrip("s"))
    assert seconds > seconds_to_end(DRAIN_SECONDS) + SPARE_SECONDS


def test_all_that_touches_the_database_is_on_the_same_one() -> None:
    base, added = (yaml.safe_load((ROOT / "deploy" / n).read_text()) for n in COMPOSE["postgresql"])
    services = merge(base, added)["services"]
    on = {
        services[name]["environment"]["DATABASE_URL"]
        for name in ("migrate", "capture", "purge", "server")
    }
    assert len(on) == 1
    assert services["postgres"]["environment"]["POSTGRES_DB"] in on.pop()
    assert "postgres" in services["migrate"]["depends_on"]


def test_what_nginx_is_told_to_replace_is_in_its_file(compose: dict[str, Any]) -> None:
    script = compose["services"]["nginx"]["command"][-1]
    assert "s/127.0.0.1:8000/bindserver:8000/" in script
    assert (ROOT / "deploy/nginx.conf").read_text().count("127.0.0.1:8000") == 1
    assert compose["services"]["server"]["networks"]["default"]["aliases"] == ["bindserver"]
