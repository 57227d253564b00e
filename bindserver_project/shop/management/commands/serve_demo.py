"""`manage.py serve_demo`: make the demo's database where it is not there yet, and serve it."""

from __future__ import annotations

from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS

from bindserver.database.diagnosis import demand, explained
from bindserver.exceptions import DatabaseUnusable
from bindserver_project.shop.demo import demo_login


class Command(BaseCommand):
    """Prepares and serves the demo."""

    help = "Make and fill the demo's database where needed, install its change log, and serve."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
        parser.add_argument("--port", type=int, default=8000, help="the port to listen on")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            demand(DEFAULT_DB_ALIAS)
            with explained(DEFAULT_DB_ALIAS):
                self._prepare()
        except DatabaseUnusable as problem:
            raise CommandError(str(problem)) from problem
        # Reloading would do all of this again at each change of code.
        call_command("bindserver", host=options["host"], port=options["port"], reload=False)

    def _prepare(self) -> None:
        call_command("migrate", verbosity=0)
        call_command("seed", stdout=self.stdout)
        call_command("bindings", "capture", "install", verbosity=0)
        if login := demo_login():
            self.stdout.write(f"  admin at /admin/, demo login: {login}")
