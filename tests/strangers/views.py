"""What a stranger's project says of itself: its views, as plain Django and DRF, and its actions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet
from rest_framework.renderers import JSONRenderer
from rest_framework.serializers import BaseSerializer

from tests.strangers.names import name_of

Rows = list[dict[str, Any]]


def anybody(user: Any) -> bool:
    """Let everybody see a view."""
    return True


def members(user: Any) -> bool:
    """Let those who are logged in see a view."""
    return bool(user.is_authenticated)


@dataclass(frozen=True, kw_only=True)
class View:
    """One binding with its params, said again without bindserver.

    Attributes:
        event: the binding's name.
        rows: the queryset that a user is to see.
        serializer: what renders it.
        params: the binding's params.
        context: the serializer's context.
        allowed: who may see it.
    """

    event: str
    rows: Callable[[Any], QuerySet[Any]]
    serializer: type[BaseSerializer[Any]]
    params: Mapping[str, Any] = field(default_factory=dict)
    context: Callable[[Any], dict[str, Any]] = lambda user: {}
    allowed: Callable[[Any], bool] = anybody

    @property
    def name(self) -> str:
        """Its name among those of its project."""
        return name_of(self.event, self.params)

    def render(self, user: Any) -> Rows | None:
        """Return its rows as DRF renders them, None where the user may not see them."""
        return self.of(self.rows(user), user) if self.allowed(user) else None

    def of(self, rows: Any, user: Any) -> Rows:
        """Return these rows as DRF renders them."""
        serializer = self.serializer(rows, many=True, context=self.context(user))
        found: Rows = json.loads(JSONRenderer().render(serializer.data))
        return found


class Actions:
    """What the writer does, in the order in which it is declared."""

    def __init__(self) -> None:
        self._actions: dict[str, Callable[[], object]] = {}

    def __call__(self, action: Callable[[], object]) -> Callable[[], object]:
        """Declare an action."""
        self._actions[action.__name__] = action
        return action

    def names(self) -> list[str]:
        """Return all names, in order."""
        return list(self._actions)

    def do(self, name: str) -> None:
        """Do one."""
        self._actions[name]()
