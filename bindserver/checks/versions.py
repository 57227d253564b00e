"""Versions of other packages that a server must not run with, and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from django.core import checks
from django.core.checks import CheckMessage
from django.utils.version import get_version_tuple


@dataclass(frozen=True, slots=True)
class Floor:
    """The oldest versions of a package that are safe.

    Attributes:
        package: its name, as on PyPI.
        versions: the oldest safe one of each series, by its first two numbers; what is of no series
            that stands here is measured by the first.
        why: what an older one does.
    """

    package: str
    versions: tuple[str, ...]
    why: str

    def refuses(self, installed: str) -> bool:
        """Return whether a version is too old."""
        found = get_version_tuple(installed)
        safe = [get_version_tuple(text) for text in self.versions]
        same = [known for known in safe if known[:2] == found[:2]]
        return found < (same or safe)[0]


FLOORS = (
    Floor(
        "django",
        ("5.2.18", "6.0.9", "6.1.2"),
        "headers of strangers take its time and memory (CVE-2026-84429, CVE-2026-77050)",
    ),
    Floor(
        "djangorestframework",
        ("3.18.2",),
        "requests of strangers take its time and memory (CVE-2026-114136, CVE-2026-114138), and a "
        "token may outlive its revocation (CVE-2026-114137)",
    ),
    Floor(
        "uvicorn",
        ("0.52.1",),
        "its WebSockets have no back-pressure: what a slow client does not read piles up in memory",
    ),
    Floor(
        "daphne",
        ("4.2.2",),
        "strangers send messages of any size (CVE-2026-44545), and forge headers (CVE-2026-44546)",
    ),
    Floor(
        "autobahn",
        ("26.7.1",),
        "a message may grow past its limit when it is unpacked (CVE-2026-77528)",
    ),
    Floor("twisted", ("24.7",), "it mixes up answers of one connection (CVE-2024-41671)"),
    Floor("h11", ("0.16",), "requests can be smuggled past a proxy (CVE-2025-43859)"),
    Floor("gunicorn", ("22.0.0",), "requests can be smuggled past a proxy (CVE-2024-1135)"),
    Floor(
        "redis",
        ("4.5.4",),
        "a request that is cancelled leaves its answer to another one (CVE-2023-28859)",
    ),
)
"""What is looked for; `docs/security.md` says more of each, and `pyproject.toml` asks for these."""


def old_packages() -> Iterator[CheckMessage]:
    """Check that no package is installed in a version that is known to be bad."""
    for floor in FLOORS:
        try:
            installed = version(floor.package)
        except PackageNotFoundError:
            continue
        if floor.refuses(installed):
            yield checks.Warning(
                f"{floor.package} {installed} is installed: {floor.why}.",
                hint=f"Install {floor.package} {' or '.join(floor.versions)}, or a later one.",
                id="bindserver.W107",
            )
