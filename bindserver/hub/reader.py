"""What Python code asks of bindings: rows from the hub's views, or from the caller's connection."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from asgiref.sync import sync_to_async

from bindserver.bindings import permissions
from bindserver.bindings.ambient import asks_callers_thread
from bindserver.bindings.binding import Binding, M, alias_of
from bindserver.bindings.model_rows import ModelRows, digest_of, model_rows
from bindserver.bindings.refusals import refusing
from bindserver.bindings.registry import registry
from bindserver.conf import conf
from bindserver.cycle.inbox import CommandKind, Snapshot
from bindserver.database.pacing import Pacer
from bindserver.database.snapshot import in_snapshot
from bindserver.database.uncommitted import asks_itself
from bindserver.exceptions import Denied, Failed, InvalidParams, Unavailable, Unsound
from bindserver.hub.hub import hub
from bindserver.queries import reading
from bindserver.queries.dependencies import Recorder
from bindserver.queries.query import Query
from bindserver.queries.rows import Form
from bindserver.user_code import contained

ASK_HERE = (Unavailable, Failed, InvalidParams, Denied, Unsound)
"""What the hub says where the caller's own query shows what is wrong."""

logger = logging.getLogger("bindserver.hub")


class HubReader:
    """Reads from the hub where that shows what the caller should see."""

    def read(self, binding: Binding[M]) -> ModelRows[M]:
        """Return the rows as they are now."""
        if not _must_ask_itself(binding):
            answer = hub.read(binding)
            try:
                return answer.result(timeout=conf.SNAPSHOT_SECONDS)
            except (*ASK_HERE, TimeoutError):
                answer.cancel()  # the caller's own query shows what is wrong, or works
        return read_here(binding)

    async def aread(self, binding: Binding[M]) -> ModelRows[M]:
        """Return the rows as they are now, without holding the event loop."""
        if not await sync_to_async(_must_ask_itself)(binding):
            try:
                async with asyncio.timeout(conf.SNAPSHOT_SECONDS):
                    return await asyncio.wrap_future(hub.read(binding))
            except (*ASK_HERE, TimeoutError):
                pass  # as above
        return await sync_to_async(read_here)(binding)

    def refresh(self, binding: Binding[Any]) -> None:
        """Have the binding's views read anew."""
        hub.command(CommandKind.BUMP, binding=type(binding))

    def clear(self, binding: Binding[Any]) -> None:
        """Have the binding's views forgotten."""
        hub.command(CommandKind.CLEAR, binding=type(binding))


def _must_ask_itself(binding: Binding[Any]) -> bool:
    """Return whether a query of the caller's own is the answer.

    In a snapshot of ours, as in a binding's own `get_queryset`, what is read belongs to that
    snapshot; and its thread is the one that would have to answer.
    """
    alias = alias_of(binding)
    return in_snapshot() or asks_itself(alias) or asks_callers_thread(binding)


def read_here(binding: Binding[M]) -> ModelRows[M]:
    """Return a binding's rows, queried on the caller's own connection.

    Raises:
        TooManyRows: there are more than the binding allows.
        Exception: whatever the query raises.
    """
    query = Query(binding.unasked(), Form.MODELS)
    rows = reading.load(query, Recorder(), Pacer(float("inf")))
    digest = digest_of(fresh.text for fresh in rows.fresh.values())
    dicts = query.columns is not None
    return model_rows(query.model, rows.instances, digest, time.time(), dicts=dicts)


def snapshot_here(binding: Binding[Any]) -> Snapshot:
    """Return a binding's rows as HTTP serves them, queried on the caller's own connection. There is
    no cursor: no stream has these rows.

    Raises:
        Refusal: the binding, or its permissions, refuse.
        TooManyRows: there are more than the binding allows.
        Exception: whatever the query raises.
    """
    permissions.ask(binding)
    with refusing(given=bool(binding.given_params)):
        query = Query(binding, Form.JSON)
    rows = reading.load(query, Recorder(), Pacer(conf.QUERY_SECONDS))
    texts = {key: fresh.text for key, fresh in rows.fresh.items()}
    return Snapshot(
        rows=texts,
        key=query.key,
        cursor="",
        digest=digest_of(texts.values()),
        modified=time.time(),
        dicts=query.columns is not None,
    )


def keep_hearers() -> None:
    """Keep the bindings live that want to hear what happens to them."""
    for binding in registry.all():
        if not binding.hears_messages() or not registry.is_sound(binding):
            continue
        try:
            with contained():
                instance = binding()
            hub.keep(instance)
        except InvalidParams as problem:
            logger.error(
                "bindserver: %s.message() is not called, since nobody gives its params: %s",
                binding.__name__,
                problem,
            )
