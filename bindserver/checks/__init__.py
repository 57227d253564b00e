"""System checks: mistakes in bindings and settings, said before the server starts."""

from __future__ import annotations

from django.core import checks

from bindserver.checks.bindings import check_bindings
from bindserver.checks.deploy import check_deployment
from bindserver.checks.project import (
    check_channel_layer,
    check_databases,
    check_server,
    check_settings,
)

__all__ = [
    "TAG",
    "check_bindings",
    "check_channel_layer",
    "check_databases",
    "check_deployment",
    "check_server",
    "check_settings",
    "register",
]

TAG = "bindserver"


def register() -> None:
    """Have Django run the checks."""
    checks.register(check_settings, TAG)
    checks.register(check_channel_layer, TAG)
    checks.register(check_bindings, TAG)
    checks.register(check_server, TAG)
    checks.register(check_databases, TAG, checks.Tags.database)
    checks.register(check_deployment, TAG, deploy=True)
