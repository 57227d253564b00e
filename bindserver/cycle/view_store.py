"""Which views there are, and which binding, caller and params lead to which."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bindserver.bindings import permissions
from bindserver.bindings.binding import Binding
from bindserver.bindings.refreshing import asks_code
from bindserver.bindings.registry import BindingClass
from bindserver.capture.reading import ReadColumns
from bindserver.conf import conf
from bindserver.cycle.alarms import Alarms
from bindserver.cycle.asking import Asker, Evaluated
from bindserver.cycle.auditor import Auditor
from bindserver.cycle.callers import context_of
from bindserver.cycle.dependents import Dependents
from bindserver.cycle.distant import Distant
from bindserver.cycle.figures import CycleFigures
from bindserver.cycle.inbox import Caller, CommandKind, Listener, SubscriptionRef, ViewCommand
from bindserver.cycle.invalidation import Told
from bindserver.cycle.lanes import Lanes
from bindserver.cycle.live_view import LiveView, ViewState
from bindserver.cycle.owners import Owner, owner_of
from bindserver.cycle.room import Room
from bindserver.cycle.routing import Routing
from bindserver.cycle.viewers import Viewer, ViewerKey
from bindserver.database.row_security import HINT, refusal_for
from bindserver.engine.changes import Change, Position
from bindserver.exceptions import ShownByRow
from bindserver.queries.query import Query
from bindserver.queries.reads import Users
from bindserver.queries.rows import Form


class ViewStore:
    """The views and viewers of one cycle.

    Args:
        alias: the database.
        secret: seals cursors.
        fallbacks: what they were sealed with before.

    Attributes:
        alarms: when views are to be looked at though nobody writes.
        by_row: the tables of which the database shows the server's role some rows only; None before
            it was asked.
        columns: which columns of tables have been read.
        figures: what there is, in numbers.
        routing: which views a turn is to look at.
        lanes: which of them it reads first, and which less often.
        auditor: which of them are compared with the database next.
        overdue: the viewers whose bindings are to be asked again.
        room: keeps them within the budget.
    """

    def __init__(self, alias: str, secret: bytes, fallbacks: Sequence[bytes] = ()) -> None:
        self.alias = alias
        self.secret = secret
        self._fallbacks = fallbacks
        self.alarms = Alarms()
        self.by_row: frozenset[str] | None = None
        self.columns = ReadColumns()
        self.figures = CycleFigures()
        self.routing = Routing(self.columns)
        self.lanes = Lanes()
        self.auditor = Auditor(self.views)
        self.overdue: dict[Viewer, None] = {}
        self._asker = Asker(alias)
        self._views: dict[str, LiveView] = {}
        self._viewers: dict[ViewerKey, Viewer] = {}
        self._viewer_of: dict[SubscriptionRef, Viewer] = {}
        self._led: dict[LiveView, set[Viewer]] = {}
        self._dependents: Dependents[Viewer] = Dependents()
        self._distant = Distant()
        self._unserved: dict[Viewer, None] = {}
        self.room = Room(alias, self._holders, self._idle, self._drop)

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
        instance = self._asker.instance(binding, caller, caller.user, params)
        owner = owner_of(caller)
        return self._viewer(instance, Form.JSON, params, position, owner, trusted), instance

    def resolve_instance(self, instance: Binding[Any], form: Form, position: Position) -> Viewer:
        """Return the viewer of a binding in the context that it already has.

        Raises:
            Refusal: there are too many views.
        """
        params = instance.given_params
        return self._viewer(instance, form, params, position, owner=None, trusted=True)

    def _viewer(
        self,
        instance: Binding[Any],
        form: Form,
        params: Mapping[str, Any],
        position: Position,
        owner: Owner | None,
        trusted: bool,
    ) -> Viewer:
        caller = Caller(user=instance.user, auth=instance.auth)
        # An instance with attributes of its own stands for itself alone.
        origin = None if instance.is_plain() else instance
        key = (type(instance), context_of(instance, caller), form, trusted, origin)
        viewer = self._viewers.get(key)
        if viewer is not None:
            self.room.demand_for(viewer.live, owner)
            viewer = self._viewers.get(key)  # it served nobody, and may have gone with others
        if viewer is None:
            asked = self._asker.ask(instance, caller, form, trusted=trusted)
            live = self._view_of(asked, owner)
            viewer = Viewer(
                key=key,
                binding=type(instance),
                caller=caller,
                params=dict(params),
                origin=origin,
                form=form,
                trusted=trusted,
                live=live,
                reads=asked.reads,
                own=asked.own,
                asked=position,
                figures=live.figures,
            )
            self._viewers[key] = viewer
            self._led[live].add(viewer)
            self._unserved[viewer] = None
            self._watch(viewer)
            self._see_distance(viewer)
        elif not (trusted or permissions.are_drfs(instance)):
            admitted = self._asker.admit(instance, viewer.caller)
            viewer.reads = viewer.reads.with_others(admitted)
            self._watch(viewer)
        viewer.live.used_at = time.monotonic()
        return viewer

    def _watch(self, viewer: Viewer) -> None:
        """Take note of what a viewer's binding is asked again for."""
        carried = [viewer.own, viewer.live.query.carried]
        self._dependents.put(viewer, viewer.reads, carried)
        self.columns.add(viewer.tables())

    def _see_distance(self, viewer: Viewer) -> None:
        """Have a viewer that was just asked be asked again in time, if its caller is elsewhere."""
        if self._asker.is_elsewhere(viewer.caller):
            self._distant.put(viewer)

    def ask_again(self, viewer: Viewer) -> Evaluated:
        """Ask a viewer's binding for its query again.

        Raises:
            Denied: the caller may not have it any more.
            InvalidParams: the params are not what it takes any more.
            Overtaken: what that was told by may be newer than the snapshot.
        """
        asked = self._asker.ask_again(viewer)
        viewer.reads, viewer.own = asked.reads, asked.own
        self._watch(viewer)
        self._see_distance(viewer)
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
        self._adopt(live, query)
        if len(asked) > 1:
            query.share()
        return True

    def lead(self, viewer: Viewer, asked: Evaluated) -> bool:
        """Lead a viewer to the view of the query that it was asked for again, which the view takes
        even where it looks the same; return whether that is another view.

        Raises:
            NoRoom: there are too many views.
        """
        owner = next(iter(viewer.refs.values()), None)
        live, old = self._view_of(asked, owner, viewer), viewer.live
        if viewer.key not in self._viewers:  # it serves nobody yet, and made room with others
            self._viewers[viewer.key] = viewer
            self._unserved[viewer] = None
            self._see_distance(viewer)
        self._adopt(live, asked.query)
        if self._led[live] - {viewer}:
            asked.query.share()
        if live is old:
            return False
        old.release(viewer.refs)
        for owner in viewer.refs.values():
            self.room.let_go(old, owner)
            self.room.hold(live, owner)
        self._led.get(old, set()).discard(viewer)  # it may have made room for the other
        self._led[live].add(viewer)
        viewer.live = live
        self._watch(viewer)
        return True

    def _adopt(self, live: LiveView, query: Query) -> None:
        """Have a view take a query that was asked for anew."""
        self.routing.adopt(live, query)
        for viewer in self._led[live]:
            self._watch(viewer)

    def forget(self, viewer: Viewer) -> None:
        """Drop a viewer that serves nobody."""
        if self._viewers.get(viewer.key) is viewer:
            del self._viewers[viewer.key]
            self._led[viewer.live].discard(viewer)
            self._dependents.drop(viewer)
            self._distant.drop(viewer)
            self._unserved.pop(viewer, None)
            self.overdue.pop(viewer, None)

    def _view_of(
        self, asked: Evaluated, owner: Owner | None, viewer: Viewer | None = None
    ) -> LiveView:
        """Return the view of a query, for a viewer or a new one.

        One that nobody looks at takes the query: what it knows may be old, since nobody was asked
        for it meanwhile.

        Args:
            asked: what asking the binding came to.
            owner: in whose share a new view counts.
            viewer: who is led to it from another view, whatever is left of their share.
        """
        query = asked.query
        live = self._views.get(query.identity)
        if live is not None and self._led[live] - {viewer} and live.query.part():
            del self._views[query.identity]
            self._views[live.query.identity] = live
            live = None
        if live is None:
            self.room.demand(owner if viewer is None else None, views=1)
            shape = self.routing.shape_of(query)
            live = LiveView(
                query,
                asked.binding,
                self.secret,
                shape,
                self.routing.look_at,
                self.figures.of(asked.binding.event or type(asked.binding).__name__),
                self._fallbacks,
            )
            self._views[query.identity] = live
            self._led[live] = set()
            self.room.open(live, owner)
            self.routing.add(live)
        else:
            if viewer is None:
                self.room.demand_for(live, owner)
            if not live.wanted:
                self._adopt(live, query)
            live.query.share()
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
            self._detach(ref, old)
        else:
            self.release(ref)
        self.attach(ref, new, owner_of(caller))
        return None if new.live is old.live else new

    def attach(self, ref: SubscriptionRef, viewer: Viewer, owner: Owner | None = None) -> None:
        """Note that a subscription belongs to a viewer.

        Args:
            ref: the subscription.
            viewer: the viewer.
            owner: in whose share it counts.
        """
        if ref not in viewer.refs:
            viewer.figures.subscriptions += 1
        viewer.refs[ref] = owner
        self.room.hold(viewer.live, owner)
        self._viewer_of[ref] = viewer
        self._unserved.pop(viewer, None)

    def viewer_of(self, ref: SubscriptionRef) -> Viewer | None:
        """Return the viewer of a subscription."""
        return self._viewer_of.get(ref)

    def release(self, ref: SubscriptionRef) -> None:
        """Forget a subscription."""
        viewer = self._viewer_of.pop(ref, None)
        if viewer is None:
            return
        self._detach(ref, viewer)
        viewer.live.release([ref])
        viewer.live.used_at = time.monotonic()

    def _detach(self, ref: SubscriptionRef, viewer: Viewer) -> None:
        if ref in viewer.refs:
            self.room.let_go(viewer.live, viewer.refs.pop(ref))
            viewer.figures.subscriptions -= 1
        if not viewer.refs:
            self._unserved[viewer] = None

    def evict(self) -> None:
        """Drop the views that nobody has looked at for a while, and viewers that serve nobody.

        A view that stays would else gather a viewer for every user who ever came.
        """
        for live in (*self.routing.unsettled, *self.routing.loaded_first()):
            live.forget_who_left()
        before = time.monotonic() - conf.LINGER_SECONDS
        self._drop([live for live in self._idle() if live.used_at < before])
        self.room.look()

    def _idle(self, among: Iterable[LiveView] | None = None) -> list[LiveView]:
        """Return the views that nobody looks at, of some or of all."""
        if among is None:
            routing = self.routing
            among = (*routing.idle, *routing.unsettled, *routing.loaded_first())
        return [
            live
            for live in among
            if not live.wanted and not any(viewer.refs for viewer in self._led[live])
        ]

    def _holders(self, live: LiveView) -> Iterator[Owner | None]:
        """Yield whose subscriptions a view has, and who waits for its rows once."""
        for viewer in self._led[live]:
            yield from viewer.refs.values()
        for reading in live.readers:
            yield owner_of(reading.request.caller)

    def _drop(self, old: list[LiveView]) -> None:
        for viewer in list(self._unserved):
            if not viewer.is_served():
                self.forget(viewer)
        for live in old:
            del self._views[live.query.identity]
            del self._led[live]
            live.drop()
            self.room.close(live)
            self.alarms.forget(live)
            self.routing.drop(live)

    def wake(self, now: float) -> None:
        """Have this turn look at the views whose time has come, and ask the bindings again of those
        that are refreshed: what cannot be followed may be what their code reads; and of those who
        are told apart by rows elsewhere.

        Args:
            now: on the monotonic clock.
        """
        self.overdue |= self._distant.ring(now)
        for live in self.alarms.ring(now):
            if live.wanted:
                self.routing.dismount(live)
            if live.is_past(now) and asks_code(live.binding):
                self.overdue |= dict.fromkeys(self._led[live])

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

    def show(self, by_row: frozenset[str]) -> None:
        """Take note of which tables the database shows some rows of; views that read one which it
        has shown all of are refused in the next turn."""
        more = by_row - (self.by_row or frozenset())
        self.by_row = by_row
        for live in list(self.routing.reading(more)):
            self.routing.dismount(live)

    def watched(self) -> bool:
        """Return whether anybody waits for what happens: views that are being loaded move when they
        have been, and a turn meanwhile would only hold up the loader."""
        return (
            self.routing.has_riders()
            or any(
                live.wanted and live.state is not ViewState.LOADING
                for live in self.routing.unsettled
            )
            or (
                len(self._dependents) > 0
                and any(
                    viewer.refs and viewer.depends()
                    for live in (*self.routing.unsettled, *self.routing.loaded_first())
                    for viewer in self._led[live]
                )
            )
        )

    def begin(self, position: Position, changes: list[Change] | None, told: Told) -> None:
        """Have everything move to a turn's snapshot that nothing has touched.

        Args:
            position: the snapshot's.
            changes: what changed up to it since the last turn; None if that cannot be proved.
            told: tells the columns of a table whose old values every change tells.
        """
        self.room.begin()
        users = Users(self.alias, told)
        self.overdue |= self._dependents.concerned(changes, users.led_to)
        self.routing.begin(position, changes)

    def tables(self) -> set[str]:
        """Return every table that a change in would matter."""
        return self.reads() | self.routing.tables()

    def reads(self) -> set[str]:
        """Return every table that is read to tell who may see which rows."""
        return self._dependents.tables()

    def due(self) -> float:
        """Return when the next view that was set aside is to be tried again, or another is to be
        looked at though nobody writes, or read as it has been left for a while."""
        retries = [
            live.retry_at
            for live in self.routing.unsettled
            if live.state is ViewState.FAILED and live.wanted
        ]
        return min([self.alarms.due(), self.lanes.due(), self._distant.due(), *retries])

    def lagging(self, position: Position, unseen: frozenset[str]) -> frozenset[Listener]:
        """Return the listeners that have rows of a view that is not at the present position, or may
        not be, as it reads a table whose changes are not seen."""
        behind = {
            ref.listener
            for live in self.routing.held_back()
            if not live.is_at(position)
            for ref in live.audience
        }
        views = [*self.routing.unsettled, *self.routing.reading(unseen)]
        unsure = {
            ref.listener
            for live in views
            if not unseen.isdisjoint(live.tables)
            for ref in live.audience
        }
        moved = {o.ref.listener for live in views for o in live.openings if o.moved}
        return frozenset(behind | unsure | moved)

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
                self.routing.dismount(live)
                live.forget()
            live.mark_suspect()
            if request.command is not CommandKind.BUMP:
                live.answer_again(list(live.audience))
