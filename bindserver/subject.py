"""Subjects: who sees which view, by which binding, and when that is to be asked again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Model

from bindserver.binding import Binding
from bindserver.engine.changes import Change, Position
from bindserver.live import LiveView
from bindserver.queries import Form
from bindserver.registry import BindingClass
from bindserver.wishes import Caller, Ref

SubjectKey = tuple[BindingClass, str, Form, bool, Binding[Any] | None]
"""Binding, context, form, whether it is trusted, and the binding itself if it is one of a kind."""


@dataclass(slots=True, kw_only=True, eq=False)
class Subject:
    """A binding in one context: who asks, with which params, and the view that they see.

    Attributes:
        key: what is equal for whoever asks alike.
        origin: the binding that was asked, where its class alone does not say what it is.
        form: what its rows are read as.
        trusted: whether its permissions are asked elsewhere, or not at all.
        reads: the tables that the binding read to make its queryset, and the user's; when one of
            them changes, or a row that the view's query carries along, it is asked again.
        asks_users: whether it read users' rows, and not just its own user's.
        position: the state up to which it is known to want the same.
        asked: the state that it was asked in.
        refs: the subscriptions that it serves.
    """

    key: SubjectKey
    binding: BindingClass
    caller: Caller
    params: dict[str, object]
    origin: Binding[Any] | None = None
    form: Form
    trusted: bool = False
    live: LiveView
    reads: set[str]
    asks_users: bool = False
    position: Position
    asked: Position
    refs: dict[Ref, None] = field(default_factory=dict)

    def is_served(self) -> bool:
        """Tell whether anybody is subscribed, or waits for rows, as this subject."""
        return bool(self.refs) or any(reading.subject is self for reading in self.live.readers)

    def depends(self) -> bool:
        """Tell whether there is anything that it would be asked again for."""
        return bool(self.reads or self.live.query.carried.tables)

    def concerned(self, changes: Sequence[Change] | None) -> bool:
        """Tell whether changes may make the binding's query another; None for unknown ones."""
        if changes is None or self.live.query.carried.any_of(changes):
            return True
        return any(
            change.table in self.reads and self._of_user(change) is not False for change in changes
        )

    def _of_user(self, change: Change) -> bool | None:
        """Tell whether a change is of the caller's own row; None in a table of other things."""
        user = self.caller.user
        if self.asks_users or not isinstance(user, Model) or change.table != user._meta.db_table:
            return None
        to_python = user._meta.pk.to_python
        return change.pks is None or any(to_python(key) == user.pk for key in change.pks)
