"""The Django app: wires the rooms together when the project has loaded."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.backends.base.base import NO_DB_ALIAS, BaseDatabaseWrapper
from django.db.backends.signals import connection_created


class BindserverConfig(AppConfig):
    """Finds bindings, listens to signals, keeps snapshot reads where they belong."""

    name = "bindserver"
    verbose_name = "bindserver"

    def ready(self) -> None:
        from bindserver import checks
        from bindserver.bindings.importing import import_bindings
        from bindserver.bindings.live_rows import LiveRows
        from bindserver.bindings.registry import registry
        from bindserver.capture.signals import SignalCapture
        from bindserver.checks.soundness import soundness
        from bindserver.database.sessions import watch_sessions
        from bindserver.database.snapshot import route_snapshots
        from bindserver.database.uncommitted import watch_writes
        from bindserver.engine.changes import Change
        from bindserver.http.upgrades import answer_behind_the_projects_own_routes
        from bindserver.hub.hub import hub
        from bindserver.hub.reader import HubReader, keep_hearers
        from bindserver.inspector.asked import EVENT
        from bindserver.inspector.feed import feed
        from bindserver.metrics.sharing import sharing
        from bindserver.operations import reinstall_after_migrations
        from bindserver.relay.relay import Relay
        from bindserver.websocket.groups import serve_from_this_loop

        LiveRows._wired = HubReader()
        registry.judge = soundness.judge
        hub.before_serving(soundness.begin)
        for begin in (serve_from_this_loop, keep_hearers):
            hub.when_serving(begin)
        import_bindings()
        checks.register()
        route_snapshots()
        answer_behind_the_projects_own_routes()
        watch_writes()
        watch_sessions()
        reinstall_after_migrations()
        relay = Relay(hub)
        hub.when_serving(relay.listen)
        hub.when_stopping(relay.flush)
        hub.when_serving(sharing.begin)
        hub.when_stopping(sharing.end)
        hub.add_feed(EVENT, feed)
        hub.when_stopping(feed.stop)

        def drop_connections(connection: BaseDatabaseWrapper, **_: Any) -> None:
            # Whoever drops a test database connects to none, and wants no other session there.
            if connection.alias == NO_DB_ALIAS:
                hub.stop()

        connection_created.connect(drop_connections, weak=False, dispatch_uid="bindserver.apps")

        def publish(alias: str, changes: tuple[Change, ...]) -> None:
            hub.hint(alias, changes)
            relay.publish(alias, changes)

        SignalCapture(publish).connect()
