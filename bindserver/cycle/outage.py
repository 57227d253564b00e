"""What is said while the database is out of reach."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from bindserver.cycle.delivery import Outbound
from bindserver.cycle.failures import mark_stale
from bindserver.cycle.inbox import (
    ReadRequest,
    Request,
    SessionRequest,
    SnapshotRequest,
    ViewCommand,
)
from bindserver.cycle.live_view import ViewState
from bindserver.cycle.load_messages import Loaded, Result
from bindserver.cycle.view_store import ViewStore
from bindserver.engine.effects import Ask, AwaitWrite, CatchUp, Reconsider, Release
from bindserver.engine.events import Ended, Event, Rejected
from bindserver.engine.protocol import Code
from bindserver.exceptions import Unavailable


def out_of_reach(store: ViewStore, items: Iterable[Request | Result]) -> Outbound:
    """Serve what can be served without the database, and mark every view stale."""
    outbound, sorry = Outbound(), Unavailable()
    store.awaiting.refuse(outbound, Rejected(code=sorry.code, detail=str(sorry)))
    for live in store.views():
        mark_stale(live, outbound)
        live.fail_readers(sorry)
    for item in items:
        match item:
            case SessionRequest(effect=Release()):
                store.release(item.ref)
            case SessionRequest(effect=CatchUp()):
                viewer = store.viewers.viewer_of(item.ref)
                if viewer is not None:  # answered by a sync when the database is back
                    viewer.live.answer_again([item.ref])
            case SessionRequest(effect=Reconsider()):
                # Whether it may go on is unknown; it may be asked for again.
                store.release(item.ref)
                outbound.add([item.ref], Ended(code=Code.UNAVAILABLE))
            case ViewCommand():
                store.apply_command(item)
            case Loaded(live=live) if live.awaits(item.began, item.query):
                live.state = ViewState.FAILED if len(live.rows.view) else ViewState.NEW
    refuse([item for item in items if not _is_answered(store, item)], outbound)
    return outbound


def _is_answered(store: ViewStore, item: Request | Result) -> bool:
    """Return whether who asks was answered by the turn that met the outage, further on."""
    if not isinstance(item, SessionRequest):
        return False
    viewer = store.viewers.viewer_of(item.ref)
    return viewer is not None and item.ref in viewer.live.audience


def refuse_at_once(items: Iterable[Request | Result]) -> list[Request | Result]:
    """Tell all who ask that there is no answer now, from any thread, and return what is left: what
    asks for nothing is still to be done when the cycle's own thread is back."""
    sorry, left = Unavailable(), list[Request | Result]()
    for item in items:
        match item:
            case SnapshotRequest() | ReadRequest():
                item.fail(sorry)
            case SessionRequest(effect=Ask()):
                _tell(item, Rejected(code=sorry.code, detail=str(sorry)))
            case SessionRequest(effect=Reconsider()):
                _tell(item, Ended(code=Code.UNAVAILABLE))
            case _:
                left.append(item)
    return left


def _tell(request: SessionRequest, event: Event) -> None:
    listener, number, _ = request.ref
    with suppress(RuntimeError):  # the loop has been closed, and the listener with it
        listener.loop.call_soon_threadsafe(listener.hear, number, event)


def refuse(items: Iterable[Request | Result], outbound: Outbound | None = None) -> None:
    """Tell all who ask that there is no answer now."""
    sorry = Unavailable()
    for item in items:
        match item:
            case SnapshotRequest() | ReadRequest():
                item.fail(sorry)
            case SessionRequest(effect=Ask() | AwaitWrite()) if outbound is not None:
                outbound.add([item.ref], Rejected(code=sorry.code, detail=str(sorry)))
