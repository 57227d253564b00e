"""Which views there are, and which binding, caller and params lead to which."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Model, QuerySet

from bindserver.bindings import permissions
from bindserver.bindings.binding import Binding
from bindserver.bindings.refreshing import clock_of_period
from bindserver.bindings.refusals import refusing
from bindserver.bindings.registry import BindingClass
from bindserver.conf import conf
from bindserver.cycle.alarms import Alarms
from bindserver.cycle.attached import carry_over, hung_on, is_anew
from bindserver.cycle.inbox import Caller, CommandKind, Listener, SubscriptionRef, ViewCommand
from bindserver.cycle.live_view import LiveView, ViewState
from bindserver.cycle.viewers import Viewer, ViewerKey
from bindserver.cycle.waiting import Opening
from bindserver.database.routers import home_of
from bindserver.database.row_security import HINT, refusal_for
from bindserver.database.snapshot import guarded, vouch
from bindserver.database.views import DatabaseViews
from bindserver.engine.changes import Position
from bindserver.engine.protocol import Subscribe, canonical
from bindserver.exceptions import ShownByRow, Unavailable
from bindserver.queries.behind import behind
from bindserver.queries.carried import Carried, instances_in
from bindserver.queries.dependencies import Recorder
from bindserver.queries.identity import IdentityEncoder, digest
from bindserver.queries.present import demand_timeless
from bindserver.queries.query import Form, Query
from bindserver.queries.values import unwrapped

EVERYTHING = Subscribe(event="", params={})
"""What a subscription wants that is to be answered anew, from nothing."""


class Evaluated(NamedTuple):
    """What asking a binding in one context came to.

    Attributes:
        query: its query.
        binding: the binding in that context.
        reads: the tables that were read to tell.
    """

    query: Query
    binding: Binding[Any]
    reads: set[str]


class ViewStore:
    """The views and viewers of one cycle.

    Args:
        alias: the database.
        secret: signs cursors.

    Attributes:
        alarms: when views are to be looked at though nobody writes.
        by_row: the tables of which the database shows the server's role some rows only; None before
            it was asked.
    """

    def __init__(self, alias: str, secret: bytes) -> None:
        self.alias = alias
        self.secret = secret
        self.alarms = Alarms()
        self.by_row: frozenset[str] | None = None
        self._views: dict[str, LiveView] = {}
        self._viewers: dict[ViewerKey, Viewer] = {}
        self._viewer_of: dict[SubscriptionRef, Viewer] = {}
        self._led: dict[LiveView, set[Viewer]] = {}
        self._database_views = DatabaseViews(alias)

    def views(self) -> list[LiveView]:
        """Return all views."""
        return list(self._views.values())

    def viewers(self) -> list[Viewer]:
        """Return all viewers."""
        return list(self._viewers.values())

    def resolve(
        self,
        binding: BindingClass,
        caller: Caller,
        params: Mapping[str, Any],
        position: Position,
        *,
        trusted: bool = False,
    ) -> tuple[Viewer, Binding[Any]]:
        """Return the viewer of a binding, caller and params, and the binding in that context.

        Args:
            binding: the binding.
            caller: who asks.
            params: not checked yet.
            position: the present one.
            trusted: whether the binding's permissions have been asked already.

        Raises:
            Refusal: the params are wrong, the caller may not, or there are too many views.
            Overtaken: what that was told by may be newer than the snapshot.
        """
        instance = self._instance_of(binding, caller, caller.user, params)
        return self._viewer(instance, Form.JSON, params, position, trusted), instance

    def resolve_instance(self, instance: Binding[Any], form: Form, position: Position) -> Viewer:
        """Return the viewer of a binding in the context that it already has.

        Raises:
            Refusal: there are too many views.
        """
        return self._viewer(instance, form, instance.given_params, position, trusted=True)

    def _viewer(
        self,
        instance: Binding[Any],
        form: Form,
        params: Mapping[str, Any],
        position: Position,
        trusted: bool,
    ) -> Viewer:
        caller = Caller(user=instance.user, auth=instance.auth)
        # An instance with attributes of its own stands for itself alone.
        origin = None if instance.is_plain() else instance
        key = (type(instance), _context_of(instance, caller), form, trusted, origin)
        viewer = self._viewers.get(key)
        if viewer is None:
            instance = self._as_now(instance, self._present(caller, trusted), caller)
            asked = self._ask(instance, form, trusted)
            live, reads = self._view_of(asked), asked.reads
            viewer = Viewer(
                key=key,
                binding=type(instance),
                caller=caller,
                params=dict(params),
                origin=origin,
                form=form,
                trusted=trusted,
                live=live,
                reads=reads,
                own=self._own_of(caller),
                position=position,
                asked=position,
            )
            self._viewers[key] = viewer
            self._led[live].add(viewer)
        elif not (trusted or permissions.are_drfs(instance)):
            self._admit(instance, viewer)
        viewer.live.used_at = time.monotonic()
        return viewer

    def _admit(self, instance: Binding[Any], viewer: Viewer) -> None:
        """Ask the permissions of a newcomer to a viewer: those of the project's own may answer by
        something else than rows, which nobody has seen change.

        Raises:
            Denied: the caller may not have it.
            Overtaken: what that was told by may be newer than the snapshot.
        """
        user = self._present(viewer.caller, trusted=False)
        recorder, seen = Recorder(), self._as_now(instance, user, viewer.caller)
        try:
            with guarded(self.alias), recorder.watching(self.alias):
                permissions.ask(seen)
        finally:
            vouch(self.alias, recorder.tables)
        viewer.reads |= recorder.tables

    def ask_again(self, viewer: Viewer) -> Evaluated:
        """Ask a viewer's binding for its query again.

        Raises:
            Denied: the caller may not have it any more.
            InvalidParams: the params are not what it takes any more.
            Overtaken: what that was told by may be newer than the snapshot.
        """
        began = time.monotonic()
        user = self._present(viewer.caller, viewer.trusted)
        if viewer.origin is not None:
            instance = viewer.origin
        else:
            instance = self._instance_of(viewer.binding, viewer.caller, user, viewer.params)
        instance = self._as_now(instance, user, viewer.caller)
        asked = self._ask(instance, viewer.form, viewer.trusted)
        viewer.reads, viewer.own = asked.reads, self._own_of(viewer.caller)
        viewer.asked_at = began
        return asked

    def becomes(self, live: LiveView, asked: Mapping[Viewer, Evaluated]) -> bool:
        """Let a view take the place of another one, where all who are led to it want that one.

        Its subscribers are then sent what differs, in place of all rows.

        Args:
            live: the view.
            asked: what each of its viewers came to that was asked again.

        Returns:
            Whether it did.
        """
        query = next(iter(asked.values())).query
        if any(new.query.identity != query.identity for new in asked.values()):
            return False
        if query.identity in self._views or not live.may_adopt(query):
            return False
        others = self._led[live] - asked.keys()
        if any(viewer.is_served() for viewer in others):
            return False
        for viewer in others:
            self.forget(viewer)
        del self._views[live.query.identity]
        self._views[query.identity] = live
        live.adopt(query)
        if len(asked) > 1:
            query.share()
        return True

    def lead(self, viewer: Viewer, asked: Evaluated) -> bool:
        """Lead a viewer to the view of the query that it was asked for again, which the view takes
        even where it looks the same; return whether that is another view.

        Raises:
            Unavailable: there are too many views.
        """
        live, old = self._view_of(asked, viewer), viewer.live
        live.adopt(asked.query)
        if self._led[live] - {viewer}:
            asked.query.share()
        if live is old:
            return False
        for ref in viewer.refs:
            old.audience.pop(ref, None)
        old.openings = [opening for opening in old.openings if opening.ref not in viewer.refs]
        self._led.get(old, set()).discard(viewer)  # it may have made room for the other
        self._led[live].add(viewer)
        viewer.live = live
        return True

    def _instance_of(
        self, binding: BindingClass, caller: Caller, user: Any, params: Mapping[str, Any]
    ) -> Binding[Any]:
        # Fields of params may look for rows.
        with refusing(given=bool(params)), guarded(self.alias):
            return binding(user=user, auth=caller.auth, params=params)

    def _as_now(self, instance: Binding[Any], user: Any, caller: Caller) -> Binding[Any]:
        """Return a binding in the context of a caller whose rows have been read anew."""
        twin = instance.seen_by(user)
        twin.auth = self._proof(caller)
        return twin

    def _present(self, caller: Caller, trusted: bool) -> Any:
        """Return the caller's user as the row is now, since old ones remember permissions, and rows
        that they are related to.

        Returns:
            None for one that is gone or inactive; whoever is trusted gets the user as given then,
            and what has been hung on it.
        """
        given = caller.user
        if not isinstance(given, Model) or (trusted and not self._is_here(given)):
            return given
        user = self._row_now(given, given._meta.model)  # its type may be a lazy wrapper's
        vouch(self.alias, self._own_of(caller).tables)
        if user is None or not (trusted or getattr(user, "is_active", True)):
            return given if trusted else None
        return user

    def _proof(self, caller: Caller) -> Any:
        """Return what proves who the caller is as its row is now, with nothing that the old one
        remembers. Once the row is gone it stays what it was: how long that counts is for those to
        say who authenticate, and it may have been good for one look."""
        given = caller.auth
        if not isinstance(given, Model) or given._state.adding or not self._is_here(given):
            return given
        found = self._row_now(given, given._meta.model)
        vouch(self.alias, self._own_of(caller).tables)
        return given if found is None else found

    def _row_now(self, given: Model, model: type[Model]) -> Model | None:
        """Return the row of an instance, read anew, with what authentication has hung on the old
        one; None if it is gone, or the row of an instance that hangs on it."""
        rows = QuerySet[Any](model, using=self._database_of(given))  # managers may hide some
        with guarded(self.alias):
            found: Model | None = rows.filter(pk=given.pk).first()
            if found is not None:
                try:
                    carry_over(given, found)
                except ObjectDoesNotExist:
                    return None
        return found

    def _own_of(self, caller: Caller) -> Carried:
        """Return the rows of this database that say who the caller is: the user's, the proof's, and
        those of instances that hang on them."""
        told = [one for one in (caller.user, caller.auth) if isinstance(one, Model)]
        hung = [value for one in told for value in hung_on(one).values() if is_anew(value)]
        instances = [unwrapped(one) for one in (*told, *instances_in(hung))]
        return Carried(instances, self._is_here, unsaved=True)

    def _database_of(self, user: Model) -> str:
        """Return the database that a user's row is in: this one, if the row came from a replica of
        it, which may show what was true a while ago."""
        if home_of(user._meta.model) == self.alias:
            return self.alias
        return user._state.db or self.alias

    def forget(self, viewer: Viewer) -> None:
        """Drop a viewer that serves nobody."""
        if self._viewers.get(viewer.key) is viewer:
            del self._viewers[viewer.key]
            self._led[viewer.live].discard(viewer)

    def _ask(self, instance: Binding[Any], form: Form, trusted: bool) -> Evaluated:
        recorder, pristine = Recorder(), instance.unasked()
        try:
            given = bool(instance.given_params)
            with refusing(given=given), guarded(self.alias), recorder.watching(self.alias):
                if not trusted:
                    permissions.ask(instance)
                with clock_of_period(instance) as until:
                    query = Query(instance, form, pristine)
                demand_timeless(pristine, query)
        finally:  # a refusal, too, must be one of this snapshot
            vouch(self.alias, recorder.tables)
        query.carried, query.fresh_until = Carried(query.instances, self._is_here), until
        if instance.depends_on is not None:
            query.stand_on(behind(instance, self._database_views.names()))
        return Evaluated(query, instance, set(query.behind.instead(recorder.tables)))

    def _is_here(self, instance: Model) -> bool:
        """Return whether an instance's row is in this database."""
        return self._database_of(instance) == self.alias

    def _view_of(self, asked: Evaluated, viewer: Viewer | None = None) -> LiveView:
        """Return the view of a query, for a viewer or a new one.

        One that nobody looks at takes the query: what it knows may be old, since nobody was asked
        for it meanwhile.
        """
        query = asked.query
        live = self._views.get(query.identity)
        if live is not None and self._led[live] - {viewer} and live.query.part():
            del self._views[query.identity]
            self._views[live.query.identity] = live
            live = None
        if live is None:
            if len(self._views) >= conf.MAX_VIEWS and not self._make_room():
                raise Unavailable("the server holds as many views as it may; try again later")
            live = LiveView(query, asked.binding, self.secret)
            self._views[query.identity] = live
        else:
            if not live.wanted:
                live.adopt(query)
            live.query.share()
        self._led.setdefault(live, set())
        return live

    def reconsider(self, ref: SubscriptionRef, caller: Caller, position: Position) -> Viewer | None:
        """Put a subscription into the context of another caller; return its viewer, if it is led
        to another view by that.

        Raises:
            Refusal: the caller may not have it.
        """
        old = self._viewer_of.get(ref)
        if old is None or old.origin is not None:
            return None
        new, _ = self.resolve(old.binding, caller, old.params, position, trusted=old.trusted)
        if new is old:
            return None
        if new.live is old.live:
            old.refs.pop(ref)
        else:
            self.release(ref)
        self.attach(ref, new)
        return None if new.live is old.live else new

    def attach(self, ref: SubscriptionRef, viewer: Viewer) -> None:
        """Note that a subscription belongs to a viewer."""
        viewer.refs[ref] = None
        self._viewer_of[ref] = viewer

    def viewer_of(self, ref: SubscriptionRef) -> Viewer | None:
        """Return the viewer of a subscription."""
        return self._viewer_of.get(ref)

    def release(self, ref: SubscriptionRef) -> None:
        """Forget a subscription."""
        viewer = self._viewer_of.pop(ref, None)
        if viewer is None:
            return
        viewer.refs.pop(ref, None)
        live = viewer.live
        live.audience.pop(ref, None)
        live.openings = [opening for opening in live.openings if opening.ref != ref]
        live.used_at = time.monotonic()

    def evict(self) -> None:
        """Drop the views that nobody has looked at for a while, and viewers that serve nobody.

        A view that stays would else gather a viewer for every user who ever came.
        """
        before = time.monotonic() - conf.LINGER_SECONDS
        self._drop([live for live in self._idle() if live.used_at < before])

    def _idle(self) -> list[LiveView]:
        """Return the views that nobody looks at."""
        held = {id(viewer.live) for viewer in self._viewers.values() if viewer.refs}
        return [live for live in self.views() if not live.wanted and id(live) not in held]

    def _make_room(self) -> bool:
        """Drop the views that nobody has looked at for longest; return whether there were any. Who
        comes and goes must not keep others out."""
        longest = sorted(self._idle(), key=lambda live: live.used_at)
        self._drop(longest[: 1 + conf.MAX_VIEWS // 10])
        return bool(longest)

    def _drop(self, old: list[LiveView]) -> None:
        for viewer in self.viewers():
            if not viewer.is_served():
                self.forget(viewer)
        for live in old:
            del self._views[live.query.identity]
            self._led.pop(live, None)
            self.alarms.forget(live)

    # Of all views.

    def demand_all_rows(self, live: LiveView) -> None:
        """See that the database shows all rows of what a view reads: what it keeps from the
        server's role, and what it shows, is not for every subscriber.

        Raises:
            ShownByRow: it does not.
        """
        if self.by_row and (tables := self.by_row & live.tables):
            said = refusal_for(live.binding.__name__, tables, self.alias)
            raise ShownByRow(f"(bindserver.E052) {said} {HINT}")

    def watched(self) -> bool:
        """Return whether anybody waits for what happens: views that are being loaded move when they
        have been, and a turn meanwhile would only hold up the loader."""
        return any(
            live.wanted and live.state is not ViewState.LOADING for live in self.views()
        ) or any(viewer.refs and viewer.depends() for viewer in self.viewers())

    def tables(self) -> set[str]:
        """Return every table that a change in would matter."""
        tables = self.reads()
        for live in self.views():
            tables |= live.tables
        return tables

    def reads(self) -> set[str]:
        """Return every table that is read to tell who may see which rows."""
        reads: set[str] = set()
        for viewer in self.viewers():
            reads |= viewer.tables()
        return reads

    def due(self) -> float:
        """Return when the next view that was set aside is to be tried again, or another is to be
        looked at though nobody writes."""
        retries = [
            live.retry_at for live in self.views() if live.state is ViewState.FAILED and live.wanted
        ]
        return min([self.alarms.due(), *retries])

    def lagging(self, position: Position, unseen: frozenset[str]) -> frozenset[Listener]:
        """Return the listeners that have rows of a view that is not at the present position, or may
        not be, as it reads a table whose changes are not seen."""
        views = self.views()
        behind = {
            ref.listener
            for live in views
            if live.state is not ViewState.READY
            or live.position != position
            or not unseen.isdisjoint(live.tables)
            for ref in live.audience
        }
        moved = {o.ref.listener for live in views for o in live.openings if o.moved}
        return frozenset(behind | moved)

    def listeners(self) -> frozenset[Listener]:
        """Return all that have rows of a view, or wait for some."""
        refs = [
            ref
            for live in self.views()
            for ref in (*live.audience, *(opening.ref for opening in live.openings))
        ]
        return frozenset(ref.listener for ref in refs)

    def apply_command(self, request: ViewCommand) -> None:
        """Have views read anew, and their subscribers answered as the command says."""
        for live in self.views():
            if not request.means(live.event, live.binding):
                continue
            if request.command is CommandKind.CLEAR:
                live.forget()
            live.mark_suspect()
            if request.command is not CommandKind.BUMP:
                self._answer_again(live)

    def _answer_again(self, live: LiveView) -> None:
        """Answer a view's subscribers as if they had just come, with all rows."""
        for ref in list(live.audience):
            del live.audience[ref]
            live.openings.append(Opening(ref, EVERYTHING, moved=True))


def _context_of(instance: Binding[Any], caller: Caller) -> str:
    """Return what is equal for bindings of one class that were asked alike."""
    encoder = IdentityEncoder()
    params = [encoder.encode(instance.params, "params"), canonical(instance.wire_params)]
    own = encoder.items(instance.own_attributes())
    told = [caller.encoded(encoder), params, own]
    # What nobody can look into may be another by now, though it is the same object.
    return digest([told, secrets.token_hex(12) if encoder.unshared else ""])
