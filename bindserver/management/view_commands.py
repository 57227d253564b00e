"""`manage.py bindings sync`, `bump` and `clear`: what all running servers are told to do."""

from __future__ import annotations

import asyncio
from argparse import ArgumentParser

from django.core.management.base import CommandError

from bindserver.cycle.inbox import CommandKind
from bindserver.management.listing import demand_event
from bindserver.relay.control import give
from bindserver.relay.relay import reaches_others

COMMANDS = {
    CommandKind.SYNC: "have running servers read bindings anew and send their subscribers all rows",
    CommandKind.BUMP: "have them read bindings anew and send what differed",
    CommandKind.CLEAR: "have them forget what they hold in memory of bindings",
}

REPLY_SECONDS = 1.0
"""How long running servers may take to answer."""


def add_command_arguments(parser: ArgumentParser) -> None:
    """Take the arguments of such a command."""
    parser.add_argument(
        "events", nargs="*", metavar="event", help="bindings' events (default: all)"
    )


def give_command(command: CommandKind, events: list[str]) -> str:
    """Have all running servers do something, and return how many will, in a sentence.

    Raises:
        CommandError: no binding has such an event, or no server was reached; the message says why.
    """
    for event in events:
        demand_event(event)
    if not reaches_others():
        raise CommandError(
            "No other process can be reached: configure CHANNEL_LAYERS with Redis, for the "
            "servers and for this command (docs/processes.md)."
        )
    try:
        servers = asyncio.run(give(command, events or None, REPLY_SECONDS))
    except Exception as problem:
        kind = type(problem).__name__
        raise CommandError(f"The channel layer is out of reach ({kind}: {problem}).") from problem
    named = ", ".join(events) or "all bindings"
    if not servers:
        raise CommandError(
            f"No server has answered within {REPLY_SECONDS:g} s. Is one running, with the same "
            "CHANNEL_LAYERS and RELAY_GROUP?"
        )
    count = "1 server process" if len(servers) == 1 else f"{len(servers)} server processes"
    return f"{command.value} of {named}: taken by {count}."
