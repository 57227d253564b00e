"""The Dockerfile, as far as a machine without Docker's engine can tell.

What it copies is there, and what it runs is run, in folders that stand for the image's.
"""

from __future__ import annotations

import fnmatch
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.projects.deploy.dockerfile import Instruction, environment, instructions
from tests.support.postgresql import Cluster
from tests.support.process import Process
from tests.support.server import ROOT, free_port

FOUND = list(instructions(ROOT / "Dockerfile"))
LAST = FOUND[-1].stage
SECRET = "ubQ0ZTgW1tI9pJxN3v7sKcE5yLrHf2aM8dOoVwXqGzBnPiUk and more"


def final(word: str) -> Instruction:
    """Return the one instruction of this kind in the last stage."""
    (found,) = (i for i in FOUND if i.word == word and i.stage == LAST)
    return found


def copied() -> list[str]:
    """Return what is copied from the checkout."""
    lines = [i.text.split() for i in FOUND if i.word == "COPY" and "--from" not in i.text]
    return [source for line in lines for source in line[:-1]]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the image would have at its root."""
    root = tmp_path_factory.mktemp("image")
    source = root / "src"
    for name in copied():
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, target)
    (run,) = (i for i in FOUND if i.word == "RUN" and i.stage == 0)
    command = [word.replace("/opt/", f"{root}/opt/") for word in run.words]
    # What is built is the same whatever the caller serves.
    env = {**os.environ, "PYTHON": sys.executable, "BINDSERVER_APPS": "nowhere", "REDIS_URL": "x"}
    done = subprocess.run(command, cwd=source, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (root / "data").mkdir()
    return root


Manage = Callable[..., subprocess.CompletedProcess[str]]


def variables(image: Path, **more: str) -> dict[str, str]:
    """Return the container's environment, with the image's folders where they are here."""
    inside = {
        name: value.replace("/opt/", f"{image}/opt/").replace("/data/", f"{image}/data/")
        for name, value in environment(FOUND).items()
    }
    return {**inside, "SECRET_KEY": SECRET, "ALLOWED_HOSTS": "live.example", **more}


@pytest.fixture
def manage(image: Path) -> Manage:
    """Run the entry point with other words than its own."""

    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python(image), *final("ENTRYPOINT").words[1:], *arguments],
            cwd=image / final("WORKDIR").text.lstrip("/"),
            env=variables(image, **more),
            capture_output=True,
            text=True,
        )

    return run


def python(image: Path) -> str:
    """Return what "python" is in the container: the first one on its PATH."""
    found = shutil.which("python", path=variables(image)["PATH"])
    assert found is not None
    assert found.startswith(str(image))
    return found


def test_all_that_is_copied_is_there_and_in_the_repository() -> None:
    for name in copied():
        tracked = subprocess.run(["git", "ls-files", name], cwd=ROOT, capture_output=True)
        assert tracked.stdout, name


def test_all_that_is_copied_is_let_through_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert lines[1] == "*"
    assert allowed == set(copied())
    assert not any(fnmatch.fnmatch(".env", name) for name in allowed)


def test_nothing_needs_a_shell_in_the_image() -> None:
    for instruction in FOUND:
        if instruction.word in ("RUN", "CMD", "ENTRYPOINT", "HEALTHCHECK"):
            assert instruction.words, instruction


def test_it_runs_as_nobody_in_particular() -> None:
    user, group = final("USER").text.split(":")
    assert int(user) > 0
    assert int(group) > 0
    after = [i.word for i in FOUND[FOUND.index(final("USER")) :]]
    assert "RUN" not in after
    assert "COPY" not in after


def test_the_port_is_the_one_that_is_served_and_probed() -> None:
    port = final("EXPOSE").text
    assert f"--port,{port}" in ",".join(final("CMD").words)
    assert f":{port}/healthz" in final("HEALTHCHECK").words[-1]


def test_what_was_built_is_small_and_may_be_read_by_everybody(image: Path) -> None:
    built = image / "opt/bindserver"
    assert not list(built.glob("venv/lib/*/site-packages/pip"))
    assert (built / "static/bindserver/io.js").exists()
    assert not list((built / "app").rglob("*.sqlite3"))
    for path in built.rglob("*"):
        if not path.is_symlink():
            assert path.stat().st_mode & 0o004, path
            assert not path.stat().st_mode & 0o022, path
    size = sum(p.stat().st_size for p in built.rglob("*") if p.is_file() and not p.is_symlink())
    assert size < 150 * 1024**2


def test_its_scripts_run_the_python_that_is_there(image: Path) -> None:
    """They were made elsewhere, and put in place when all was."""
    built = image / "opt/bindserver"
    assert sorted(path.name for path in built.iterdir()) == ["app", "static", "venv"]
    done = subprocess.run(
        [built / "venv/bin/uvicorn", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Running uvicorn")


def test_without_a_secret_it_does_not_start(manage: Manage) -> None:
    done = manage(*final("CMD").words, SECRET_KEY="")
    assert done.returncode == 1
    assert done.stderr.startswith("manage.py: SECRET_KEY is not set.")


def test_it_has_postgresql_s_driver(manage: Manage, postgresql: Cluster) -> None:
    url = postgresql.url(postgresql.make_database())
    for command in (["migrate", "--noinput"], ["bindings", "capture", "install"]):
        done = manage(*command, DATABASE_URL=url)
        assert done.returncode == 0, done.stderr
    assert "The change log watches" in done.stdout


def can_make_read_only() -> bool:
    """Return whether this machine lets us mount."""
    command = ["unshare", "--mount", "true"]
    return bool(shutil.which("unshare")) and subprocess.run(command).returncode == 0


READ_ONLY = """
mount --make-rprivate / && mount --bind "$1/data" "$1/data" && mount -t tmpfs none /dev/shm &&
mount -o remount,bind,ro / && shift && exec "$@"
"""
"""Runs a command where nothing can be written to but /data and /dev/shm."""


def test_its_root_file_system_may_be_read_only(image: Path, tmp_path: Path) -> None:
    if not can_make_read_only():
        pytest.skip("no mount namespaces here")
    database = image / "data/read_only.sqlite3"
    env = variables(image, DATABASE_URL=f"sqlite:///{database}", TMPDIR="/dev/shm")
    inside = ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh", str(image), python(image)]

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*inside, *arguments]
        cwd = image / "opt/bindserver/app"
        return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)

    writes = run("-c", f"open({str(image / 'opt/written')!r}, 'w')")
    assert "Read-only file system" in writes.stderr
    for command in (["migrate", "--noinput"], ["bindings", "capture", "install"]):
        done = run("manage.py", *command)
        assert done.returncode == 0, done.stderr
    port = free_port()
    words = [*final("ENTRYPOINT").words[1:], *final("CMD").words, "--workers", "2"]
    words = [str(port) if word == final("EXPOSE").text else word for word in words]
    process = Process(
        [*inside, *words],
        port=port,
        env={**env, "BINDSERVER_METRICS_ALLOW": "127.0.0.1"},
        cwd=image / "opt/bindserver/app",
        log=tmp_path / "log",
    )
    with process:
        assert process.get("readyz")[0] == 200
        assert "bindserver_connections" in process.get("metrics")[1]
        assert process.stop() == 0
    assert "Traceback" not in process.log
    assert run("manage.py", "bindings", "capture", "purge").returncode == 0


def test_it_serves_and_is_healthy_and_stops(image: Path, manage: Manage, tmp_path: Path) -> None:
    for command in (["migrate", "--noinput"], ["bindings", "capture", "install"]):
        done = manage(*command)
        assert done.returncode == 0, done.stderr
    exposed, port = final("EXPOSE").text, free_port()
    words = [*final("ENTRYPOINT").words[1:], *final("CMD").words]
    process = Process(
        [python(image), *(str(port) if word == exposed else word for word in words)],
        port=port,
        env=variables(image),
        cwd=image / "opt/bindserver/app",
        log=tmp_path / "log",
    )
    probe = [w.replace(f":{exposed}/", f":{port}/") for w in final("HEALTHCHECK").words]

    def healthy() -> bool:
        return subprocess.run([python(image), *probe[1:]], capture_output=True).returncode == 0

    with process:
        assert healthy()
        assert process.stop() == 0
    assert not healthy()
    assert "Traceback" not in process.log
