"""The virtual environment of each foreign app, made when it is first needed, in `.strangers/`."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.support.server import ROOT

FOLDER = ROOT / ".strangers"
DJANGO = "django~=5.2.0"
PINS = {
    "oscar": ("django-oscar==4.2.1",),
    "wagtail": ("wagtail==8.0.1",),
    "helpdesk": ("django-helpdesk==2.6.1",),
    "packages": (
        "django-filter==26.2",
        "django-guardian==3.5.2",
        "django-model-utils==5.0.0",
        "django-mptt==0.20.0",
        "django-parler==2.4",
        "django-parler-rest==2.2",
        "django-polymorphic==4.11.7",
        "django-rest-polymorphic==0.1.10",
        "django-simple-history==3.13.0",
        "django-taggit==6.1.0",
        "drf-flex-fields==1.0.2",
        "drf-writable-nested==0.7.2",
    ),
    "habits": (
        "django-auditlog==3.4.1",
        "django-cte==4.0.0",
        "django-modeltranslation==0.20.6",
        "django-money==3.6.2",
        "django-ordered-model==3.7.4",
        "django-reversion==6.4.0",
        "django-safedelete==1.5.0",
        "django-scopes==2.1.0",
        "django-treebeard==7.0.3",
    ),
    "cached": ("django-cachalot==2.9.1",),
}
"""What each app's environment has beside bindserver and Django."""

NAMES = (*PINS, "small")
"""What can be tried; "small" is no stranger, and needs no environment of its own."""


def prepare(app: str) -> Path:
    """Make an app's environment, unless it is there, and return its Python.

    Raises:
        RuntimeError: it could not be installed.
    """
    if app not in PINS:
        return Path(sys.executable)
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / f"{app}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until whoever else makes it is ready
        return _install(app, FOLDER / app)


def _install(app: str, venv: Path) -> Path:
    python, done = venv / "bin/python", venv / "installed"
    what = [DJANGO, *PINS[app], "-e", ".[server,postgresql]"]
    words = "\n".join([*what, *_requirements()])
    if python.exists() and done.exists() and done.read_text(encoding="utf-8") == words:
        return python
    print(f"Installing {', '.join(PINS[app])} ...", file=sys.stderr, flush=True)
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    _do([sys.executable, "-m", "venv", "--clear", str(venv)])  # what is there was left half done
    _do([*pip, "--upgrade", "pip>=25.1"])
    _do([*pip, *what])
    done.write_text(words, encoding="utf-8")
    return python


def _requirements() -> list[str]:
    """Return what bindserver itself needs there: with another such list all is installed anew."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    more = project["optional-dependencies"]
    return [*project["dependencies"], *more["server"], *more["postgresql"]]


def _do(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
