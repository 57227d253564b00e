"""Bindings are asked: who may have them, and for which query, as the database says now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from django.db.models import Model

from bindserver.bindings import permissions
from bindserver.bindings.binding import Binding
from bindserver.bindings.refreshing import clock_of_period
from bindserver.bindings.refusals import refusing
from bindserver.bindings.registry import BindingClass
from bindserver.cycle.callers import Callers
from bindserver.cycle.inbox import Caller
from bindserver.cycle.viewers import Viewer
from bindserver.database.snapshot import guarded, vouch
from bindserver.database.views import DatabaseViews
from bindserver.queries.carried import Carried, carried
from bindserver.queries.depends_on import NOTHING_BEHIND, behind
from bindserver.queries.plans import Plans
from bindserver.queries.python_time import demand_timeless
from bindserver.queries.query import Query
from bindserver.queries.reads import Reads, ReadsRecorder
from bindserver.queries.rows import Form
from bindserver.queries.values import unwrapped


class Evaluated(NamedTuple):
    """What asking a binding in one context came to.

    Attributes:
        query: its query.
        binding: the binding in that context.
        reads: what was read to tell.
        own: the rows that say who the caller is.
    """

    query: Query
    binding: Binding[Any]
    reads: Reads
    own: Carried


class Asker:
    """Asks bindings within a turn's snapshot, and notes what they read.

    Args:
        alias: the database.
    """

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._callers = Callers(alias)
        self._plans = Plans()
        self._database_views = DatabaseViews(alias)

    def instance(
        self, binding: BindingClass, caller: Caller, user: Any, params: Mapping[str, Any]
    ) -> Binding[Any]:
        """Return a binding in a context.

        Raises:
            InvalidParams: the params are not what it takes.
        """
        # Fields of params may look for rows.
        with refusing(given=bool(params)), guarded(self._alias):
            return binding(user=user, auth=caller.auth, params=params)

    def is_elsewhere(self, caller: Caller) -> bool:
        """Return whether a caller's own rows are in another database, where nobody watches them."""
        return self._callers.is_elsewhere(caller)

    def ask(
        self, instance: Binding[Any], caller: Caller, form: Form, *, trusted: bool
    ) -> Evaluated:
        """Ask a binding for its query, with the caller's own row as it is now.

        Args:
            instance: the binding in its context.
            caller: who asks.
            form: what its rows are read as.
            trusted: whether its permissions have been asked already.

        Raises:
            Denied: the caller may not have it.
            InvalidParams: the params are not what it takes.
            Overtaken: what that was told by may be newer than the snapshot.
        """
        user = self._callers.present(caller, trusted)
        return self._asked(self._callers.as_now(instance, user, caller), caller, form, trusted)

    def ask_again(self, viewer: Viewer) -> Evaluated:
        """Ask a viewer's binding for its query again.

        Raises:
            Denied: the caller may not have it any more.
            InvalidParams: the params are not what it takes any more.
            Overtaken: what that was told by may be newer than the snapshot.
        """
        caller, key = viewer.caller, viewer.key
        user, instance = self._callers.present(caller, key.trusted), key.origin
        if instance is None:
            instance = self.instance(key.binding, caller, user, viewer.params())
        now = self._callers.as_now(instance, user, caller)
        return self._asked(now, caller, key.form, key.trusted)

    def admit(self, instance: Binding[Any], caller: Caller) -> Reads:
        """Ask the permissions of a newcomer to a viewer: those of the project's own may answer by
        something else than rows, which nobody has seen change.

        Returns:
            What was read to tell.

        Raises:
            Denied: the caller may not have it.
            Overtaken: what that was told by may be newer than the snapshot.
        """
        user = self._callers.present(caller, trusted=False)
        seen = self._callers.as_now(instance, user, caller)
        recorder = self._recorder(seen)
        try:
            with guarded(self._alias), recorder.watching(self._alias), recorder.asking():
                permissions.ask(seen)
        finally:
            vouch(self._alias, recorder.tables)
        return recorder.reads(NOTHING_BEHIND)

    def _recorder(self, instance: Binding[Any]) -> ReadsRecorder:
        """Return what records what is read to ask a binding."""
        user = unwrapped(instance.user)
        has_row = isinstance(user, Model) and self._callers.is_here(user)
        return ReadsRecorder(user if has_row else None)

    def _asked(
        self, instance: Binding[Any], caller: Caller, form: Form, trusted: bool
    ) -> Evaluated:
        recorder, pristine = self._recorder(instance), instance.unasked()
        try:
            given = bool(instance.given_params)
            with (
                refusing(given=given),
                guarded(self._alias),
                recorder.watching(self._alias),
                recorder.asking(),
            ):
                if not trusted:
                    permissions.ask(instance)
                with clock_of_period(instance) as until:
                    query = Query(instance, form, pristine, self._plans)
                demand_timeless(pristine, query)
        finally:  # a refusal, too, must be one of this snapshot
            vouch(self._alias, recorder.tables)
        query.carried = carried(query.representation.instances, self._callers.is_here)
        query.fresh_until = until
        if instance.depends_on is not None:
            query.stand_on(behind(instance, self._database_views.names()))
        reads = recorder.reads(query.behind)
        return Evaluated(query, instance, reads, self._callers.own_of(caller))
