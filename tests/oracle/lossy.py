"""A channel layer that loses, doubles and delays messages, between real processes."""

from __future__ import annotations

import os
import random
from typing import Any

from channels_redis.pubsub import RedisPubSubChannelLayer

LOST, DOUBLED, DELAYED = 0.12, 0.12, 0.12

_rng = random.Random(os.getpid())
"""One for the process: with one for each layer, who begins anew would lose the same again."""


class LossyLayer(RedisPubSubChannelLayer):  # type: ignore[misc]  # channels has no types
    """Redis pub/sub, with some of what is sent to groups lost, doubled, or out of order."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._delayed: list[Any] = []

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send a message, or not; then those that were delayed."""
        layer = self._get_layer()
        chance = _rng.random()
        if chance < LOST:
            return
        if chance < LOST + DELAYED:
            self._delayed.append(message)
            return
        await layer.group_send(group, message)
        if chance < LOST + DELAYED + DOUBLED:
            await layer.group_send(group, message)
        while self._delayed:
            await layer.group_send(group, self._delayed.pop())
