"""One app, from an empty database to the last comparison."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

from tests.strangers.audience import Onlooker
from tests.strangers.project import ActionFailed, Project, Writer
from tests.strangers.tally import Tally
from tests.support.talk import talking

Prepared = dict[str, Any]


async def run(project: Project) -> Tally:
    """Make a project live, do all its actions, and compare every state behind each."""
    tally, begun = Tally(project.app), time.monotonic()
    async with AsyncExitStack() as ends:
        await asyncio.to_thread(project.manage, "migrate", "--verbosity", "0")
        writer = await project.writer()
        ends.push_async_callback(writer.close)
        prepared = await writer.ask("prepare")
        await asyncio.to_thread(project.manage, "bindings", "capture", "install")
        server = project.server()
        ends.callback(server.kill)
        await asyncio.to_thread(server.start)
        tally.bindings = len({event for event, _ in prepared["views"]})
        tally.onlookers, tally.least = len(visitors(prepared)), prepared["least"]
        audience = [await enter(ends, project, prepared, name) for name in visitors(prepared)]
        await _play(project, writer, prepared, audience, tally)
        late = [await enter(ends, project, prepared, name) for name in visitors(prepared)]
        await _compare(project, writer, late, tally, "subscribed at the end", 0)
        if "Traceback" in server.log:
            tally.failures.append(f"the server's log has a traceback:\n{server.log[-4000:]}")
    tally.seconds = time.monotonic() - begun
    return tally


def visitors(prepared: Prepared) -> list[str]:
    """Return who looks on: nobody, and each user."""
    return ["", *prepared["cookies"]]


async def enter(ends: AsyncExitStack, project: Project, prepared: Prepared, name: str) -> Onlooker:
    """Have somebody look on from now."""
    headers = {"Cookie": f"sessionid={prepared['cookies'][name]}"} if name else {}
    url = f"ws://127.0.0.1:{project.port}/ws/"
    talk = await ends.enter_async_context(talking(url, headers))
    onlooker = Onlooker(name, talk, prepared["views"], headers)
    await onlooker.begin()
    return onlooker


async def _play(
    project: Project,
    writer: Writer,
    prepared: Prepared,
    audience: list[Onlooker],
    tally: Tally,
) -> None:
    await _compare(project, writer, audience, tally, "at the beginning", 0)
    for action in prepared["actions"]:
        try:
            mark = (await writer.ask("act", action))["mark"]
        except ActionFailed as failure:
            tally.failures.append(str(failure))
            continue
        tally.actions += 1
        await _compare(project, writer, audience, tally, f"after {action}", mark)


async def _compare(
    project: Project,
    writer: Writer,
    audience: list[Onlooker],
    tally: Tally,
    when: str,
    mark: int,
) -> None:
    """Compare what everybody holds, is given and would be given with what DRF makes of the rows."""
    truth = await writer.ask("truth")
    seen = {name: {view: both["drf"] for view, both in truth[name].items()} for name in truth}
    tally.look({view: [rows[view] for rows in seen.values()] for view in seen[""]})
    waited_for = {
        name: {view: rows for view, rows in views.items() if view not in tally.differences}
        for name, views in seen.items()
    }
    late = await asyncio.gather(*[o.settle(mark, waited_for[o.name]) for o in audience])
    tally.late += sum(late) if mark else 0
    for onlooker in audience:
        for view, right in seen[onlooker.name].items():
            where = f"for {onlooker.name or 'nobody'} {when}"
            held = onlooker.held(view)
            if onlooker.is_stale(view):
                tally.differ(view, f"stale {where}")
            tally.compare("WebSocket", view, where, right, held)
            tally.compare("HTTP", view, where, right, await onlooker.fetch(project.port, view))
            tally.compare("Python", view, where, right, truth[onlooker.name][view]["python"])
