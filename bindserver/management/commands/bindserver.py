"""`manage.py bindserver`: serve the project with uvicorn."""

from __future__ import annotations

import importlib.util
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS

from bindserver.registry import registry

LOCAL_HOSTS = ("127.0.0.1", "0.0.0.0", "::")  # noqa: S104  (compared with, not bound to)
"""Addresses that a browser on the same machine reaches as localhost."""


class Command(BaseCommand):
    """Serves HTTP and WebSocket on one port."""

    help = "Serve the project, HTTP and WebSocket on one port, with uvicorn."
    requires_system_checks = "__all__"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
        parser.add_argument("--port", type=int, default=8000, help="the port to listen on")

    def handle(self, *args: Any, **options: Any) -> None:
        if importlib.util.find_spec("uvicorn") is None:
            raise CommandError("uvicorn is missing: pip install 'bindserver[server]'")
        from bindserver.server import describe_captures, serve

        self.check(databases=sorted({b.using or DEFAULT_DB_ALIAS for b in registry.all()}))

        host, port = options["host"], options["port"]
        shown = "localhost" if host in LOCAL_HOSTS else host
        self.stdout.write(self.style.SUCCESS(f"bindserver: http://{shown}:{port}/"))
        for line in describe_captures():
            self.stdout.write(f"  capture on {line}")
        events = ", ".join(binding.event or "" for binding in registry.published())
        self.stdout.write(f"  bindings: {events or 'none with an event yet'}")
        self.stdout.flush()
        serve(host, port)
