"""picows: who says anything has all be told."""

import sys
from pathlib import Path

import uvloop
from picows import WSListener, WSMsgType, ws_create_server

PAYLOAD = Path(__file__).with_name("payload.json").read_bytes().strip()
transports = set()


class Listener(WSListener):
    def on_ws_connected(self, transport):
        transports.add(transport)

    def on_ws_disconnected(self, transport):
        transports.discard(transport)

    def on_ws_frame(self, transport, frame):
        if frame.msg_type == WSMsgType.TEXT:
            for one in list(transports):
                one.send(WSMsgType.TEXT, PAYLOAD)


async def main():
    server = await ws_create_server(
        lambda request: Listener(), "127.0.0.1", int(sys.argv[1]), backlog=4096
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
