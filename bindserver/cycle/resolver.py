"""From a binding, a caller and params to a viewer and its view; and anew where that may change."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from bindserver.bindings import permissions
from bindserver.bindings.binding import Binding, named_user
from bindserver.bindings.registry import BindingClass
from bindserver.cycle.asking import Asker, Evaluated
from bindserver.cycle.callers import context_of
from bindserver.cycle.inbox import Caller, SubscriptionRef
from bindserver.cycle.live_view import LiveView
from bindserver.cycle.owners import Owner, owner_of
from bindserver.cycle.view_store import ViewStore
from bindserver.cycle.viewers import Viewer, ViewerKey
from bindserver.engine.changes import Position
from bindserver.queries.rows import Form

NOBODY = Caller()
"""One for all who ask without a name, and of whom nothing else is known."""


def _caller_of(instance: Binding[Any]) -> Caller:
    """Return who a binding is for."""
    user = named_user(instance)
    if user is None and instance.auth is None:
        return NOBODY
    return Caller(user=user, auth=instance.auth)


class Resolver:
    """Asks bindings for their queries, and leads viewers to the views of these.

    Args:
        store: the views and viewers there are.
    """

    def __init__(self, store: ViewStore) -> None:
        self._store = store
        self._asker = Asker(store.alias)

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
        viewers, caller = self._store.viewers, _caller_of(instance)
        # An instance with attributes of its own stands for itself alone.
        origin = None if instance.is_plain() else instance
        context = context_of(instance, caller)
        key = ViewerKey(type(instance), context, form, trusted, origin)
        viewer = viewers.get(key)
        if viewer is not None:
            self._store.room.demand_for(viewer.live, owner)
            viewer = viewers.get(key)  # it served nobody, and may have gone with others
        if viewer is None:
            asked = self._asker.ask(instance, caller, form, trusted=trusted)
            live = self._view_of(asked, owner)
            viewer = Viewer(
                key=key,
                caller=caller,
                given=tuple([part for item in params.items() for part in item]),
                live=live,
                reads=asked.reads,
                own=asked.own,
                asked=position,
            )
            viewers.put(viewer)
            viewers.lead(viewer, live)
            viewers.watch(viewer)
            self._see_distance(viewer)
        elif not (trusted or permissions.are_drfs(instance)):
            admitted = self._asker.admit(instance, viewer.caller)
            viewer.reads = viewer.reads.with_others(admitted)
            viewers.watch(viewer)
        viewer.live.used_at = time.monotonic()
        return viewer

    def _see_distance(self, viewer: Viewer) -> None:
        """Have a viewer that was just asked be asked again in time, if its caller is elsewhere."""
        if self._asker.is_elsewhere(viewer.caller):
            self._store.viewers.watch_from_afar(viewer)

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
        store, query = self._store, asked.query
        live = store.get(query.identity)
        if live is not None and store.viewers.has_others(live, viewer) and live.query.part():
            store.rename(live, query.identity)
            live = None
        if live is None:
            store.room.demand(owner if viewer is None else None, views=1)
            return store.make(query, asked.binding, owner)
        if viewer is None:
            store.room.demand_for(live, owner)
        if not live.wanted:
            store.adopt(live, query)
        live.query.share()
        return live

    def ask_again(self, viewer: Viewer) -> Evaluated:
        """Ask a viewer's binding for its query again.

        Raises:
            Denied: the caller may not have it any more.
            InvalidParams: the params are not what it takes any more.
            Overtaken: what that was told by may be newer than the snapshot.
        """
        asked = self._asker.ask_again(viewer)
        viewer.reads, viewer.own = asked.reads, asked.own
        self._store.viewers.watch(viewer)
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
        store, query = self._store, next(iter(asked.values())).query
        if any(new.query.identity != query.identity for new in asked.values()):
            return False
        if store.get(query.identity) is not None or not live.may_adopt(query):
            return False
        others = [viewer for viewer in store.viewers.of(live) if viewer not in asked]
        if any(viewer.is_served() for viewer in others):
            return False
        for viewer in others:
            store.viewers.forget(viewer)
        store.adopt(live, query)
        if len(asked) > 1:
            query.share()
        return True

    def lead(self, viewer: Viewer, asked: Evaluated) -> bool:
        """Lead a viewer to the view of the query that it was asked for again, which the view takes
        even where it looks the same; return whether that is another view.

        Raises:
            NoRoom: there are too many views.
        """
        store, viewers = self._store, self._store.viewers
        owner = next(iter(viewer.refs.values()), None)
        live, old = self._view_of(asked, owner, viewer), viewer.live
        if viewers.get(viewer.key) is None:  # it serves nobody yet, and made room with others
            viewers.put(viewer)
            self._see_distance(viewer)
        store.adopt(live, asked.query)
        if viewers.has_others(live, viewer):
            asked.query.share()
        if live is old:
            return False
        old.release(viewer.refs)
        for owner in viewer.refs.values():
            store.room.let_go(old, owner)
            store.room.hold(live, owner)
        viewers.lead(viewer, live)  # the old one may have made room for the other
        viewers.watch(viewer)
        return True

    def reconsider(self, ref: SubscriptionRef, caller: Caller, position: Position) -> Viewer | None:
        """Put a subscription into the context of another caller; return its viewer, if it is led
        to another view by that.

        Raises:
            Refusal: the caller may not have it.
        """
        old = self._store.viewers.viewer_of(ref)
        if old is None or old.key.origin is not None:
            return None
        new, _ = self.resolve(old.binding, caller, old.params(), position, trusted=old.key.trusted)
        if new is old:
            return None
        if new.live is old.live:
            self._store.detach(ref, old)
        else:
            self._store.release(ref)
        self._store.attach(ref, new, owner_of(caller))
        return None if new.live is old.live else new
