"""Channels under uvicorn, a group of its in-memory layer: who says anything has all be told."""

import sys
from pathlib import Path

import django
import uvicorn
from django.conf import settings

settings.configure(CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}})
django.setup()

from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402

PAYLOAD = Path(__file__).with_name("payload.json").read_text().strip()


class Consumer(AsyncWebsocketConsumer):
    groups = ["products"]

    async def receive(self, text_data=None, bytes_data=None):
        await self.channel_layer.group_send("products", {"type": "told", "text": PAYLOAD})

    async def told(self, event):
        await self.send(text_data=event["text"])


if __name__ == "__main__":
    uvicorn.run(
        Consumer.as_asgi(), port=int(sys.argv[1]), ws="websockets-sansio", loop="uvloop",
        lifespan="off", log_level="warning", access_log=False, ws_ping_interval=None,
        ws_per_message_deflate=False, backlog=4096,
    )  # fmt: skip
