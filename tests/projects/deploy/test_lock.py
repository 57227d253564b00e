"""What the image installs is pinned, with hashes, and is what pyproject.toml asks for."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.server import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = ("server", "redis", "postgresql", "metrics", "fast")
"""What deploy/lock.sh pins besides what bindserver needs everywhere."""


def pinned(name: str) -> Iterator[tuple[Requirement, list[str]]]:
    """Yield each requirement of a lock file, and its hashes."""
    text = (ROOT / "deploy" / name).read_text().replace("\\\n", " ")
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            what, *hashes = re.split(r"\s+--hash=", line.strip())
            yield Requirement(what), hashes


def asked_for() -> list[Requirement]:
    extras = PROJECT["project"]["optional-dependencies"]
    lines = [*PROJECT["project"]["dependencies"], *(line for e in EXTRAS for line in extras[e])]
    return [Requirement(line) for line in lines]


def unmet(asked: list[Requirement], name: str) -> list[str]:
    """Return what is asked for and not pinned to a version that fits."""
    versions: dict[str, list[str]] = {}
    for requirement, _ in pinned(name):
        (specifier,) = requirement.specifier
        versions.setdefault(canonicalize_name(requirement.name), []).append(specifier.version)
    return [
        str(requirement)
        for requirement in asked
        if not (found := versions.get(canonicalize_name(requirement.name)))
        or not all(requirement.specifier.contains(version) for version in found)
    ]


def test_all_that_is_asked_for_is_pinned_to_what_fits() -> None:
    assert unmet(asked_for(), "requirements.txt") == [], "run `make lock`"
    wanted = [Requirement(line) for line in PROJECT["build-system"]["requires"]]
    assert unmet(wanted, "build-requirements.txt") == [], "run `make lock`"


def test_what_does_not_fit_is_found() -> None:
    assert unmet([Requirement("django<5"), Requirement("nothing")], "requirements.txt") == [
        "django<5",
        "nothing",
    ]


def test_each_has_one_version_and_hashes() -> None:
    for name in ("requirements.txt", "build-requirements.txt"):
        for requirement, hashes in pinned(name):
            assert [s.operator for s in requirement.specifier] == ["=="], requirement
            assert hashes, requirement
            assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in hashes), requirement


def test_the_script_pins_these_and_the_build_takes_nothing_else() -> None:
    script = (ROOT / "deploy/lock.sh").read_text()
    assert re.findall(r"--extra (\w+)", script) == list(EXTRAS)
    build = (ROOT / "deploy/build.sh").read_text()
    assert "--no-deps" in build
    assert build.count("--require-hashes") == 2
