"""One app, from an empty database to the last comparison."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

from tests.strangers.audience import Onlooker
from tests.strangers.project import ActionFailed, Project, Writer
from tests.strangers.tally import DOORS, Rows, Tally
from tests.support.talk import talking

Seen = dict[str, dict[str, Rows | None]]
"""The rows of each view, by who sees it: "" for nobody."""


async def run(project: Project) -> Tally:
    """Make a project live, do all its actions, and compare every state behind each."""
    tally, begun = Tally(project.app), time.monotonic()
    async with AsyncExitStack() as ends:
        await project.manage("migrate", "--verbosity", "0")
        writer = await project.writer()
        ends.push_async_callback(writer.close)
        play = Play(project, writer, await writer.ask("prepare"), tally)
        await project.manage("bindings", "capture", "install")
        server = project.server()
        ends.callback(server.kill)
        server.launch()  # not in a thread, which might start it after its end
        await asyncio.to_thread(server.answering)
        audience = await play.enter(ends)
        await play.compare(audience, "at the beginning")
        await play.act(audience)
        await play.compare(await play.enter(ends), "who comes at the end")
        if "Traceback" in server.log:
            tally.failures.append(f"the server's log has a traceback:\n{server.log[-4000:]}")
    tally.seconds = time.monotonic() - begun
    return tally


class Play:
    """What is done with one project, and compared.

    Args:
        project: the project, served by now.
        writer: the process that writes.
        prepared: what that has answered when the project was prepared.
        tally: where all is counted.
    """

    def __init__(
        self, project: Project, writer: Writer, prepared: dict[str, Any], tally: Tally
    ) -> None:
        self._project = project
        self._writer = writer
        self._cookies: dict[str, str] = prepared["cookies"]
        self._actions: list[str] = prepared["actions"]
        self._views: list[tuple[str, dict[str, Any]]] = prepared["views"]
        self._tally = tally
        tally.bindings = len({event for event, _ in self._views})
        tally.onlookers = 1 + len(self._cookies)
        tally.least = prepared["least"]

    async def enter(self, ends: AsyncExitStack) -> list[Onlooker]:
        """Have nobody and each user look on from now."""
        audience = []
        for name in ("", *self._cookies):
            headers = {"Cookie": f"sessionid={self._cookies[name]}"} if name else {}
            url = f"ws://127.0.0.1:{self._project.port}/ws/"
            talk = await ends.enter_async_context(talking(url, headers))
            audience.append(Onlooker(name, talk, self._views, headers))
            await audience[-1].begin()
        return audience

    async def act(self, audience: list[Onlooker]) -> None:
        """Do all actions, and compare behind each."""
        for action in self._actions:
            try:
                mark = (await self._writer.ask("act", action))["mark"]
            except ActionFailed as failure:
                self._tally.failures.append(str(failure))
                continue
            self._tally.actions += 1
            await self.compare(audience, f"after {action}", mark)

    async def compare(self, audience: list[Onlooker], when: str, mark: int = 0) -> None:
        """Compare what everybody holds, is given and would be given with what DRF renders."""
        drf, python = await self._truth()
        self._tally.look({view: [rows[view] for rows in drf.values()] for view in drf[""]})
        late = await asyncio.gather(*[o.settle(mark, self._waited_for(drf, o)) for o in audience])
        self._tally.late += sum(late) if mark else 0
        for onlooker in audience:
            truth, where = drf[onlooker.name], f"for {onlooker.name or 'nobody'} {when}"
            http = await asyncio.gather(*[onlooker.fetch(self._project.port, v) for v in truth])
            held = [onlooker.held(view) for view in truth]
            for door, found in zip(
                DOORS, (held, http, python[onlooker.name].values()), strict=True
            ):
                for view, rows in zip(truth, found, strict=True):
                    self._tally.compare(door, view, where, truth[view], rows)
            for view in filter(onlooker.is_stale, truth):
                self._tally.differ(view, f"stale {where}")

    async def _truth(self) -> tuple[Seen, Seen]:
        """Return what DRF renders of each queryset, and what of `.all()`."""
        both = await self._writer.ask("truth")
        drf, python = (
            {
                name: {view: rows[way] for view, rows in views.items()}
                for name, views in both.items()
            }
            for way in ("drf", "python")
        )
        return drf, python

    def _waited_for(self, drf: Seen, onlooker: Onlooker) -> dict[str, Rows | None]:
        """Return a visitor's views without those that have been wrong once: they may stay so."""
        wrong = self._tally.differences
        return {view: rows for view, rows in drf[onlooker.name].items() if view not in wrong}
