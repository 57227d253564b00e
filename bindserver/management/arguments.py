"""Of what binding, and for whom: the arguments that several commands take."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db.models import Model


def add_binding_arguments(parser: ArgumentParser) -> None:
    """Take a binding's event and params, and a user."""
    parser.add_argument("event", help="the binding's event")
    parser.add_argument(
        "--user", default=None, help="for whom: a user's name or key (default: nobody)"
    )
    parser.add_argument(
        "--params", default="{}", metavar="JSON", help="for example '{\"category\": 3}'"
    )


def given_params(params: str) -> dict[str, Any]:
    """Return a binding's params.

    Args:
        params: as JSON.

    Raises:
        CommandError: it is no JSON object.
    """
    try:
        given = json.loads(params)
    except (ValueError, RecursionError) as problem:
        raise CommandError(f"--params is no JSON: {problem}.") from problem
    if not isinstance(given, dict):
        raise CommandError("--params is a JSON object, such as '{\"category\": 3}'.")
    return given


def user_named(named: str) -> Model:
    """Return a user by name or key.

    Raises:
        CommandError: there is none.
    """
    users = get_user_model()._base_manager
    found = users.filter(**{get_user_model().USERNAME_FIELD: named}).first()
    if found is None:
        try:
            found = users.filter(pk=named).first()
        except (ValueError, ValidationError):  # it is no key of this model's
            found = None
    if found is None:
        raise CommandError(f"There is no user with the name or the key {named!r}.")
    return found
