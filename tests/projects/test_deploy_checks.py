"""`check --deploy` on whole projects: one where all is wrong, and one where all is right."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.server import ROOT

DEPLOY = {
    f"bindserver.{check}"
    for check in re.findall(
        r"^\| `bindserver\.(W1\d\d)`", (ROOT / "docs/checks.md").read_text(), re.M
    )
}
INSTALLED = {"bindserver.W107"}
"""What is said of packages as they are installed: `tests/unit/checks/test_versions.py`."""

SOUND = """
from tests.settings import *
BINDSERVER = {"RUNTIME_INSTALL": False, "ORIGINS": ["https://live.example"]}
CHANNEL_LAYERS = {"default": {
    "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
    "CONFIG": {"hosts": ["redis://127.0.0.1:6379/0?max_connections=50"]},
}}
"""


def ids_told(settings: str, **env: str) -> set[str]:
    """Return the ids of ours that `check --deploy` prints under some settings."""
    done = subprocess.run(
        [sys.executable, "-m", "django", "check", "--deploy", "--tag", "bindserver"],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": settings,
            **env,
        },
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return set(re.findall(r"\((bindserver\.\w+)\)", done.stderr))


def test_each_mistake_of_a_deploy_is_told() -> None:
    told = ids_told("tests.projects.unsound.deploy_settings")
    told |= ids_told("tests.projects.unsound.redis_settings")
    assert DEPLOY
    assert told & DEPLOY == DEPLOY - INSTALLED
    assert "bindserver.W020" in told


def test_a_project_that_is_deployed_well_is_told_nothing(tmp_path: Path) -> None:
    (tmp_path / "sound.py").write_text(SOUND)
    assert ids_told("sound", PYTHONPATH=f"{ROOT}:{tmp_path}") == set()
