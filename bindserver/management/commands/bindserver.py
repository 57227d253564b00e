"""`manage.py bindserver`: serve the project with uvicorn."""

from __future__ import annotations

import argparse
import importlib.util
import os
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, connections
from django.utils import autoreload

from bindserver.exceptions import CannotListen, DatabaseUnusable


class Command(BaseCommand):
    """Serves HTTP and WebSocket on one port."""

    help = "Serve the project, HTTP and WebSocket on one port, with uvicorn."
    # Checks are run by ourselves: when reloading, by the process that serves and not by both.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        switch = argparse.BooleanOptionalAction
        add("--host", default="127.0.0.1", help="the address to listen on")
        add("--port", type=int, default=8000, help="the port to listen on, 0 for a free one")
        add("--uds", metavar="PATH", help="listen on a Unix socket, not on a port")
        add("--workers", type=int, default=1, help="how many processes serve")
        add("--drain-seconds", type=int, default=10, help="how long ending may take for clients")
        add("--reload", action=switch, help="start anew when code changes (in debug mode)")
        add("--standalone", action="store_true", help="leave the project's own asgi.py alone")
        add("--proxy-headers", action=switch, default=True, help="believe the proxy's headers")
        add("--forwarded-allow-ips", metavar="ADDRESSES", help="whose headers to believe")
        add("--check", action="store_true", help="say what would be served, and end")
        add("--skip-checks", action="store_true", help="run no system checks")

    def handle(self, *args: Any, **options: Any) -> None:
        if importlib.util.find_spec("uvicorn") is None:
            raise CommandError("uvicorn is missing: pip install 'bindserver[server]'")
        if options["workers"] < 1:
            raise CommandError("--workers is 1 or more.")
        if options["drain_seconds"] < 0:
            raise CommandError("--drain-seconds is 0 or more.")
        reload = options["reload"]
        if reload and options["workers"] > 1:
            raise CommandError("--reload is for one worker; leave out one of the two.")
        if reload is None:
            reload = settings.DEBUG and options["workers"] == 1 and not options["check"]
        if reload:
            autoreload.run_with_reloader(self._serve_until_changed, options)
            return
        try:
            self._serve(options)
        except (CannotListen, DatabaseUnusable) as problem:
            raise CommandError(str(problem)) from problem

    def _notice_migrations(self) -> None:
        """Say that migrations are to be run, as `runserver` does where somebody develops."""
        from bindserver.server.banner import databases

        if settings.DEBUG and DEFAULT_DB_ALIAS in databases():
            self.check_migrations()
            self.stdout.flush()
            connections.close_all()

    def _serve_until_changed(self, options: dict[str, Any]) -> None:
        """Serve, and leave what is wrong to be mended: the next change starts it anew."""
        autoreload.raise_last_exception()
        try:
            self._serve(options)
        except CannotListen as problem:
            self.stderr.write(self.style.ERROR(str(problem)))
            self.stderr.flush()
            os._exit(1)  # only this ends the reloader from a thread
        except (CommandError, DatabaseUnusable) as problem:
            self.stderr.write(self.style.ERROR(str(problem)))

    def _serve(self, options: dict[str, Any]) -> None:
        from bindserver.database.diagnosis import demand
        from bindserver.server.banner import databases, greet
        from bindserver.server.runner import listen, serve

        for alias in databases():
            demand(alias)
        if not options["skip_checks"]:
            self.check(databases=databases())
        plan = _plan(options)
        sock = listen(plan)
        port = 0 if plan.uds else sock.getsockname()[1]
        first, *others = greet(plan, port)
        self.stdout.write(self.style.SUCCESS(first))
        for line in others:
            self.stdout.write(line)
        self.stdout.flush()
        if options["check"]:
            sock.close()
        else:
            self._notice_migrations()
            serve(plan, sock)


def _plan(options: dict[str, Any]) -> Any:
    from bindserver.server.application import STANDALONE, application_path
    from bindserver.server.runner import ServerPlan

    try:
        path = STANDALONE if options["standalone"] else application_path()
    except ImproperlyConfigured as problem:
        raise CommandError(str(problem)) from None
    return ServerPlan(
        application=path,
        host=options["host"],
        port=options["port"],
        uds=options["uds"],
        workers=options["workers"],
        proxy_headers=options["proxy_headers"],
        forwarded_allow_ips=options["forwarded_allow_ips"],
        drain_seconds=options["drain_seconds"],
    )
