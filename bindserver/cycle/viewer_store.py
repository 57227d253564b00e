"""Which viewers there are, whom they serve, and which of them are to be asked again."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from bindserver.capture.read_columns import ReadColumns
from bindserver.cycle.dependents import Dependents, LedTo
from bindserver.cycle.distant import Distant
from bindserver.cycle.inbox import SubscriptionRef
from bindserver.cycle.live_view import LiveView
from bindserver.cycle.one_or_many import FewBy
from bindserver.cycle.owners import Owner
from bindserver.cycle.viewers import Viewer, ViewerKey
from bindserver.engine.changes import Change


class ViewerStore:
    """The viewers of one cycle, by the views that they are led to.

    Args:
        columns: takes note of which columns of tables were read to tell who may see what.

    Attributes:
        overdue: those whose bindings are to be asked again.
    """

    def __init__(self, columns: ReadColumns) -> None:
        self.overdue: dict[Viewer, None] = {}
        self._columns = columns
        self._viewers: dict[ViewerKey, Viewer] = {}
        self._viewer_of: dict[SubscriptionRef, Viewer] = {}
        self._led: FewBy[LiveView, Viewer] = FewBy()
        self._dependents: Dependents[Viewer] = Dependents()
        self._distant: Distant[Viewer] = Distant()
        self._unserved: dict[Viewer, None] = {}

    def all(self) -> list[Viewer]:
        """Return all viewers."""
        return list(self._viewers.values())

    def get(self, key: ViewerKey) -> Viewer | None:
        """Return the viewer of whoever asks alike."""
        return self._viewers.get(key)

    # Views.

    def of(self, live: LiveView) -> Collection[Viewer]:
        """Return those that are led to a view."""
        return self._led.of(live)

    def has_others(self, live: LiveView, viewer: Viewer | None) -> bool:
        """Return whether others than this one are led to a view."""
        return any(one is not viewer for one in self._led.of(live))

    def close(self, live: LiveView) -> None:
        """Forget a view that is dropped."""
        self._led.drop(live)

    def serve(self, live: LiveView) -> bool:
        """Return whether anybody is subscribed to a view."""
        return any(viewer.refs for viewer in self._led.of(live))

    def lead(self, viewer: Viewer, live: LiveView) -> None:
        """Have a viewer see a view, in place of the one before."""
        self._led.discard(viewer.live, viewer)
        self._led.add(live, viewer)
        viewer.live = live

    # Viewers come and go.

    def put(self, viewer: Viewer) -> None:
        """Take a viewer that serves nobody yet."""
        self._viewers[viewer.key] = viewer
        self._unserved[viewer] = None

    def forget(self, viewer: Viewer) -> None:
        """Drop a viewer that serves nobody."""
        if self._viewers.get(viewer.key) is viewer:
            del self._viewers[viewer.key]
            self._led.discard(viewer.live, viewer)
            self._dependents.drop(viewer)
            self._distant.drop(viewer)
            self._unserved.pop(viewer, None)
            self.overdue.pop(viewer, None)

    def forget_unserved(self) -> None:
        """Drop all viewers that serve nobody."""
        for viewer in list(self._unserved):
            if not viewer.is_served():
                self.forget(viewer)

    # Subscriptions come and go.

    def viewer_of(self, ref: SubscriptionRef) -> Viewer | None:
        """Return the viewer of a subscription."""
        return self._viewer_of.get(ref)

    def attach(self, ref: SubscriptionRef, viewer: Viewer, owner: Owner | None) -> None:
        """Note that a subscription belongs to a viewer, and in whose share it counts."""
        if ref not in viewer.refs:
            viewer.figures.subscriptions += 1
        viewer.refs[ref] = owner
        self._viewer_of[ref] = viewer
        self._unserved.pop(viewer, None)

    def release(self, ref: SubscriptionRef) -> Viewer | None:
        """Forget whose a subscription is; return its viewer, which has it still."""
        return self._viewer_of.pop(ref, None)

    def detach(self, ref: SubscriptionRef, viewer: Viewer) -> None:
        """Have a viewer serve a subscription no more."""
        if ref in viewer.refs:
            del viewer.refs[ref]
            viewer.figures.subscriptions -= 1
        if not viewer.refs:
            self._unserved[viewer] = None

    # What they are asked again for.

    def watch(self, viewer: Viewer) -> None:
        """Take note of what a viewer's binding is asked again for."""
        carried = [viewer.own, viewer.live.query.carried]
        self._dependents.put(viewer, viewer.reads, carried)
        self._columns.add(viewer.tables())

    def watch_from_afar(self, viewer: Viewer) -> None:
        """Have a viewer that was just asked be asked again in time."""
        self._distant.put(viewer)

    def note_changes(self, changes: list[Change] | None, led_to: LedTo) -> None:
        """Have those asked again whose own reads have changed.

        Args:
            changes: what changed since the last turn; None if that cannot be proved.
            led_to: tells whose rows the changed ones are.
        """
        self.overdue |= self._dependents.concerned(changes, led_to)

    def wake(self, now: float) -> None:
        """Have those asked again whose time has come, on the monotonic clock."""
        self.overdue |= self._distant.ring(now)

    def ask_all_again(self, live: LiveView) -> None:
        """Have all asked again who are led to a view."""
        self.overdue |= dict.fromkeys(self._led.of(live))

    def depend(self, lives: Iterable[LiveView]) -> bool:
        """Return whether a change may have somebody asked again who follows one of some views."""
        return len(self._dependents) > 0 and any(
            viewer.refs and viewer.depends() for live in lives for viewer in self._led.of(live)
        )

    def tables(self) -> set[str]:
        """Return every table that is read to tell who may see which rows."""
        return self._dependents.tables()

    def due(self) -> float:
        """Return when the next one is to be asked again though nothing is seen to change."""
        return self._distant.due()
