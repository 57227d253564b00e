"""`manage.py bindings tail`: a binding in the terminal, live."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError, OutputWrapper
from django.core.management.color import color_style, no_style

from bindserver.client.feed import Feed
from bindserver.client.subscription import (
    Change,
    Problem,
    Status,
    Subscription,
    SubscriptionEnded,
)
from bindserver.cycle.inbox import Caller, SessionRequest
from bindserver.engine.effects import Ask, Release
from bindserver.engine.events import Accepted, Answered, Ended, Event, Published, Rejected, Staled
from bindserver.engine.frames import Frame
from bindserver.engine.protocol import Code, Subscribe
from bindserver.exceptions import Unsound
from bindserver.hub.hub import hub
from bindserver.management.arguments import add_binding_arguments, given_params, user_named
from bindserver.management.listing import demand_event

TAILS = "show a binding live: its rows, and each change as it comes"

LOOK_SECONDS = 0.5
"""So often it is looked whether something keeps changes from coming."""

MARKS = {"sync": "=", "create": "+", "update": "~", "delete": "-"}


def add_tail_arguments(parser: ArgumentParser) -> None:
    """Take the arguments of `tail`."""
    add_binding_arguments(parser)
    parser.add_argument(
        "--json", action="store_true", help="write a line of JSON for each change, for programs"
    )
    parser.add_argument(
        "--url", default=None, help="follow a running server, such as ws://127.0.0.1:8000/ws/"
    )
    parser.add_argument("--token", default=None, help="with --url: proves who asks")
    parser.add_argument(
        "--changes", type=int, default=None, metavar="N", help="end after so many changes"
    )


def tail(options: Mapping[str, Any], out: OutputWrapper, err: OutputWrapper) -> None:
    """Write a binding's rows and changes until they end, or the user ends it (Ctrl-C).

    Args:
        options: the command's.
        out: hears of rows.
        err: hears of what keeps them from coming.

    Raises:
        CommandError: the binding is not served; the message says why.
    """
    telling = _Telling(out, err, as_json=options["json"], most=options["changes"])
    with suppress(KeyboardInterrupt):
        try:
            asyncio.run(_follow(options, telling))
        except SubscriptionEnded as problem:
            told = f"{options['event']} is not served: {_harmless(str(problem))}"
            raise CommandError(told) from problem
        except BrokenPipeError:  # as of `| head`: Python would say so once more at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Telling:
    """Writes changes."""

    def __init__(
        self, out: OutputWrapper, err: OutputWrapper, *, as_json: bool, most: int | None
    ) -> None:
        self._out = out
        self._err = err
        self._as_json = as_json
        self._left = most
        self._style = color_style() if out.isatty() else no_style()
        self._told: tuple[Problem | None, Status] = (None, Status.CONNECTING)

    def is_done(self) -> bool:
        """Return whether all is told that is to be."""
        return self._left is not None and self._left <= 0

    def tell(self, change: Change, key: str) -> None:
        """Write a change."""
        if self._as_json:
            said = json.dumps({"action": change.action, "payload": change.payload})
            self._out.write(said)
        elif change.action == "sync":
            count = len(change.payload)
            self._write("sync", f"{count} row" if count == 1 else f"{count} rows")
            for row in change.payload:
                self._write("sync", _row(row, key), mark=" ")
        else:
            self._write(change.action, _row(change.payload, key))
        self._out.flush()
        if self._left is not None:
            self._left -= 1

    def _write(self, action: str, words: str, mark: str | None = None) -> None:
        mark = MARKS[action] if mark is None else mark
        time = datetime.now().astimezone().strftime("%H:%M:%S")
        self._out.write(self._colour(action)(f"{time} {mark} {_harmless(words)}"))

    def _colour(self, action: str) -> Any:
        style: Any = self._style
        return {
            "create": style.SUCCESS, "update": style.WARNING, "delete": style.ERROR,
        }.get(action, str)  # fmt: skip

    def look(self, subscription: Subscription) -> None:
        """Say what keeps changes from coming, and when nothing does any more, once each."""
        error, status = now = (subscription.error, subscription.status)
        if now == self._told:
            return
        before, self._told = self._told, now
        if error is not None and error != before[0]:
            self._err.write(f"{_harmless(str(error))}; it is tried again")
        elif status is Status.STALE and before[1] is Status.LIVE:
            self._err.write("the rows may be old until the next change")
        elif status is Status.LIVE and before[1] is Status.STALE:
            self._err.write("the rows are live again")


def _harmless(words: str) -> str:
    """Return words with nothing in them that a terminal would obey: rows are anybody's."""
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in words)


def _row(row: Mapping[str, Any], key: str) -> str:
    """Return a row as people read it: its key, and its other fields."""
    rest = {name: json.dumps(value, ensure_ascii=False) for name, value in row.items()}
    head = rest.pop(key, "")
    return "  ".join([head, *(f"{name}={value}" for name, value in rest.items())])


async def _follow(options: Mapping[str, Any], telling: _Telling) -> None:
    async with _subscribed(options) as subscription:
        while not telling.is_done():
            telling.look(subscription)
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    change = await anext(subscription)
            except TimeoutError:
                continue
            # In a thread: a terminal that stands still must not have changes heap up on the loop.
            await asyncio.to_thread(telling.tell, change, subscription.key or "")


@asynccontextmanager
async def _subscribed(options: Mapping[str, Any]) -> Any:
    event, params = options["event"], given_params(options["params"])
    url, token, user = options["url"], options["token"], options["user"]
    if url is None and token is not None:
        raise CommandError("--token is for a server's --url; here, --user says who asks.")
    if url is not None and user is not None:
        raise CommandError("--user is for this project; a server's --url is shown a --token.")
    if url is not None:
        try:
            from bindserver.client import Client

            client = Client(url, token=token)
        except (ImportError, ValueError) as problem:
            raise CommandError(f"--url: {problem}") from problem
        async with client, client.subscribe(event, params) as subscription:
            yield subscription
        return
    demand_event(event)
    whose = None if user is None else await asyncio.to_thread(user_named, user)
    try:
        here = _Here(event, params, whose)
        try:
            yield here.subscription
        finally:
            here.leave()
    finally:
        await asyncio.to_thread(hub.stop)


class _Here:
    """Follows a binding in this process: what the hub says, a feed takes as from a connection."""

    def __init__(self, event: str, params: Mapping[str, Any], user: Any) -> None:
        self.loop = asyncio.get_running_loop()
        self._caller = Caller(user=user)
        self._feed = Feed(event, params, None)
        self.subscription = Subscription(self._feed, lambda _: None)
        ask = Ask(number=1, message=Subscribe(event=event, params=params))
        try:
            hub.request(SessionRequest(self, self._caller, ask))
        except Unsound as problem:
            raise CommandError(str(problem)) from problem

    def leave(self) -> None:
        """Want it no more."""
        hub.request(SessionRequest(self, self._caller, Release(number=1)))

    def hear(self, number: int, event: Event) -> None:
        """Take an event about the subscription."""
        match event:
            case Accepted(params=params, key=key):
                self._feed.accept(key, params)
            case Answered(frames=frames) | Published(frames=frames):
                for frame in frames:
                    self._take(frame)
            case Staled(frame=frame):
                self._take(frame)
            case Rejected(code=code, detail=detail):
                self._feed.fail(Problem(code, detail, passing=False))
            case Ended(code=code):
                self._feed.fail(Problem(code, "the server has ended it", passing=False))
            case _:
                pass

    def _take(self, frame: Frame) -> None:
        self._feed.take(json.loads(frame.text)["data"])

    def fail(self) -> None:
        """Called when an event could not be heard."""
        problem = sys.exception() or RuntimeError()
        self._feed.fail(Problem(Code.INTERNAL, str(problem), passing=False))

    def settle(self, state: str) -> None:
        """Nothing: changes are told as they come."""
