"""A bare ASGI application under uvicorn's websockets-sansio: who says anything has all be told."""

import asyncio
import sys
from pathlib import Path

import uvicorn

PAYLOAD = Path(__file__).with_name("payload.json").read_text().strip()
sends = set()


async def application(scope, receive, send):
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    sends.add(send)
    try:
        while (await receive())["type"] == "websocket.receive":
            for one in list(sends):
                await one({"type": "websocket.send", "text": PAYLOAD})
            await asyncio.sleep(0)
    finally:
        sends.discard(send)


if __name__ == "__main__":
    uvicorn.run(
        application, port=int(sys.argv[1]), ws="websockets-sansio", loop="uvloop", lifespan="off",
        log_level="warning", access_log=False, ws_ping_interval=None, ws_per_message_deflate=False,
        backlog=4096,
    )  # fmt: skip
