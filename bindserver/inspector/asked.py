"""What the page asks for: one of the inspector's tables, and which part of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rest_framework import serializers

from bindserver.bindings.params import validate
from bindserver.cycle.view_facts import RANKINGS
from bindserver.engine.protocol import canonical

EVENT = "bindserver.inspector"
"""What the page subscribes to. No binding has such a name: see `checks.audience`."""

KEY = "id"
"""The name of the row field that holds the key."""

TABLES = ("processes", "databases", "bindings", "views", "connections")
"""What is followed, and told anew when it changes."""

QUESTIONS = ("why", "explain")
"""What is answered once."""

LONGEST_SEARCH = 100
LONGEST_ROW = 200

PARAMS: Mapping[str, Any] = {
    "table": serializers.ChoiceField(choices=[*TABLES, *QUESTIONS]),
    "search": serializers.CharField(
        required=False, default="", allow_blank=True, max_length=LONGEST_SEARCH
    ),
    "by": serializers.ChoiceField(required=False, default="cost", choices=[*RANKINGS]),
    "view": serializers.CharField(required=False, default="", allow_blank=True, max_length=200),
    "time": serializers.IntegerField(required=False, default=0),
    "row": serializers.CharField(
        required=False, default="", allow_blank=True, trim_whitespace=False, max_length=LONGEST_ROW
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """One table, or a question.

    Attributes:
        table: one of `TABLES` or `QUESTIONS`.
        search: what rows must have in their texts.
        by: how views are ranked.
        view: the `id` of a view, for a question.
        row: the primary key of a row, for the question `why`.
        time: how often the question has been asked: each time it is another subscription.
        text: all of these in their canonical form, as JSON.
    """

    table: str
    search: str
    by: str
    view: str
    row: str
    time: int
    text: str

    @property
    def is_question(self) -> bool:
        """Whether it is answered once."""
        return self.table in QUESTIONS


def asked_of(params: Mapping[str, Any]) -> Inquiry:
    """Return what a subscription asks for.

    Args:
        params: not checked yet.

    Raises:
        InvalidParams: they ask for nothing that there is.
    """
    values, wire = validate(PARAMS, params)
    return Inquiry(**values, text=canonical(wire))
