"""python-socketio under uvicorn: who says "go" has all be told."""

import json
import sys
from pathlib import Path

import socketio
import uvicorn

DATA = json.loads(Path(__file__).with_name("payload.json").read_text())["data"]
server = socketio.AsyncServer(async_mode="asgi", ping_interval=3600)


@server.event
async def go(sid):
    await server.emit("products", DATA)


if __name__ == "__main__":
    uvicorn.run(
        socketio.ASGIApp(server), port=int(sys.argv[1]), ws="websockets-sansio", loop="uvloop",
        log_level="warning", access_log=False, ws_ping_interval=None, ws_per_message_deflate=False,
        backlog=4096,
    )  # fmt: skip
