"""`manage.py bindings`: look after bindings and their change log."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from bindserver.cycle.inbox import CommandKind
from bindserver.management.change_log import ACTIONS, ChangeLogCommand, add_capture_arguments
from bindserver.management.doctor import (
    DOCTORS,
    add_doctor_arguments,
    examine,
    report,
    verdict,
)
from bindserver.management.explaining import EXPLAINS, add_explain_arguments, explained_lines
from bindserver.management.listing import LISTS, listed_lines
from bindserver.management.tailing import TAILS, add_tail_arguments, tail
from bindserver.management.view_commands import COMMANDS, add_command_arguments, give_command


class Command(BaseCommand):
    """Shows and explains bindings, looks at what is around them, has servers read them anew, and
    looks after the change log; each in a module of its own in `bindserver.management`."""

    help = "Look after bindings and the change log that they follow."

    def add_arguments(self, parser: CommandParser) -> None:
        rooms = parser.add_subparsers(
            dest="room",
            required=True,
            metavar="list | explain | tail | doctor | sync | bump | clear | capture",
        )
        rooms.add_parser("list", help=LISTS)
        add_explain_arguments(rooms.add_parser("explain", help=EXPLAINS, description=EXPLAINS))
        add_tail_arguments(rooms.add_parser("tail", help=TAILS, description=TAILS))
        add_doctor_arguments(rooms.add_parser("doctor", help=DOCTORS, description=DOCTORS))
        for command, what in COMMANDS.items():
            add_command_arguments(rooms.add_parser(command.value, help=what))
        capture = rooms.add_parser(
            "capture",
            help="the change log of a database",
            description="Look after the change log of a database.",
            epilog="\n".join(
                ["actions:", *(f"  {name:9}{what}" for name, what in ACTIONS.items())]
            ),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        add_capture_arguments(capture)

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run; `doctor` tells itself what the system checks find, and goes on."""
        if options.get("room") == "doctor":
            options["skip_checks"] = True
        return super().execute(*args, **options)

    def handle(self, *args: Any, **options: Any) -> None:
        room = options["room"]
        if room == "list":
            self._write(listed_lines())
        elif room == "doctor":
            findings = examine(options["timeout"])
            self._write(report(findings, as_json=options["json"], verbosity=options["verbosity"]))
            verdict(findings)
        elif room == "explain":
            asked = (options[name] for name in ("event", "user", "params", "row"))
            self._write(explained_lines(*asked))
        elif room == "tail":
            tail(options, self.stdout, self.stderr)
        elif room == "capture":
            ChangeLogCommand(self, options).run()
        else:
            sentence = give_command(CommandKind(room), options["events"])
            self.stdout.write(self.style.SUCCESS(sentence))

    def _write(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.stdout.write(line)
