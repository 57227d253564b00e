"""The relay in this process: what is sent, what is heard, and what is noticed to be missing."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer
from django.test import override_settings

from bindserver.engine.changes import Change
from bindserver.relay.connection import COMPARE_PAUSE_SECONDS
from bindserver.relay.relay import Relay, reaches_others
from tests.support.receiver import PATIENCE_SECONDS, Receiver
from tests.support.redis import Redis

LAYERS = {"pubsub": RedisPubSubChannelLayer, "core": RedisChannelLayer}


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with Redis(tmp_path_factory.mktemp("redis")) as redis:
        yield redis


class Faulty:
    """A channel layer that loses, doubles and delays what is sent to the group, by a rule.

    Args:
        layer: the real one.
        rule: takes a message; returns those to be sent now instead.
    """

    def __init__(self, layer: Any, rule: Callable[[dict[str, Any]], list[dict[str, Any]]]) -> None:
        self._layer = layer
        self._rule = rule

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        for one in self._rule(message):
            await self._layer.group_send(group, one)


Make = Callable[..., tuple[Relay, Receiver]]


@pytest.fixture(params=LAYERS)
def make(request: pytest.FixtureRequest, redis: Redis) -> Iterator[Make]:
    """Make relays, each as if in a process of its own."""
    made: list[Relay] = []
    layer = LAYERS[request.param]
    path = f"{layer.__module__}.{layer.__name__}"

    def make(rule: Any = None, *, listening: bool = True) -> tuple[Relay, Receiver]:
        receiver = Receiver()

        def make_layer() -> Any:
            real: Any = layer(hosts=[redis.url])
            return Faulty(real, rule) if rule else real

        relay = Relay(receiver, make_layer)
        made.append(relay)
        if listening:
            relay.listen()
            receiver.wait(lambda: receiver.compares > 0)  # it has joined
        return relay, receiver

    layers = {"default": {"BACKEND": path, "CONFIG": {"hosts": [redis.url]}}}
    with override_settings(CHANNEL_LAYERS=layers, BINDSERVER={"RELAY_BEAT_SECONDS": 0.4}):
        yield make
        for relay in made:
            relay.close(2)
        assert "bindserver-relay" not in threads()


def change(table: str, *pks: Any) -> Change:
    return Change(table=table, pks=frozenset(pks) if pks else None)


def wait_for(done: Callable[[], bool]) -> None:
    """Wait until something holds that nobody tells of."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not done():
        assert time.monotonic() < until
        time.sleep(0.02)


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


class TestSending:
    def test_what_one_process_writes_all_others_hear(self, make: Make) -> None:
        (one, own), (_, first), (_, second) = make(), make(), make()
        one.publish("default", [change("t", 1), change("u")])
        first.wait(lambda: first.told == {"t": {1}, "u": None})
        second.wait(lambda: second.told == {"t": {1}, "u": None})
        assert own.told == {}

    def test_a_process_that_only_writes_is_heard_too(self, make: Make) -> None:
        (writer, _), (_, receiver) = make(listening=False), make()
        for number in range(50):
            writer.publish("default", [change("t", number)])
        receiver.wait(lambda: receiver.told == {"t": set(range(50))})

    def test_closing_sends_what_waits(self, make: Make) -> None:
        (writer, _), (_, receiver) = make(listening=False), make()
        writer.publish("default", [change("t", 1)])
        writer.close(PATIENCE_SECONDS)
        receiver.wait(lambda: receiver.told == {"t": {1}})

    def test_publishing_many_at_once_is_quick_and_bounded(self, make: Make) -> None:
        (writer, _), (_, receiver) = make(listening=False), make()
        with override_settings(
            BINDSERVER={"HINT_KEYS": 100, "RELAY_BEAT_SECONDS": 0.4},
        ):
            writer.publish("default", [change("t", *range(101))])
            receiver.wait(lambda: receiver.told == {"t": None})

    def test_nobody_is_missed_while_nothing_is_lost(self, make: Make) -> None:
        with override_settings(BINDSERVER={"RELAY_BEAT_SECONDS": PATIENCE_SECONDS}):
            (one, own), (two, receiver) = make(), make()
            one.publish("default", [change("t", 0)])
            receiver.wait(lambda: receiver.compares == 2)  # it did not know how far the other was
            for number in range(20):
                one.publish("default", [change("t", number)])
                two.publish("default", [change("u", number)])
            own.wait(lambda: own.told == {"u": set(range(20))})
            receiver.wait(lambda: receiver.told == {"t": set(range(20))})
            time.sleep(COMPARE_PAUSE_SECONDS)
            assert (own.compares, receiver.compares) == (1, 2)

    def test_in_a_forked_process_the_relay_begins_anew(self, make: Make) -> None:
        (one, _), (_, receiver) = make(), make()
        child = os.fork()
        if child == 0:
            one.publish("default", [change("t", 7)])
            one.close(PATIENCE_SECONDS)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        receiver.wait(lambda: receiver.told == {"t": {7}})
        one.publish("default", [change("t", 8)])
        receiver.wait(lambda: receiver.told == {"t": {7, 8}})


class TestLosing:
    """Whatever happens to a message, it is heard or missed; then all is compared."""

    @staticmethod
    def is_hint(message: dict[str, Any]) -> bool:
        return bool(message["type"] == "bindserver.hints")

    def test_a_message_lost_in_the_middle_is_missed_at_the_next(self, make: Make) -> None:
        lost: list[Any] = []

        def losing(message: dict[str, Any]) -> list[dict[str, Any]]:
            if self.is_hint(message) and not lost:
                lost.append(message)
                return []
            return [message]

        (writer, _), (_, receiver) = make(losing, listening=False), make()
        writer.publish("default", [change("t", 1)])
        receiver.wait(lambda: bool(lost) and receiver.compares > 1)
        assert receiver.told == {}

    def test_the_last_message_lost_is_missed_at_a_beat(self, make: Make) -> None:
        def losing(message: dict[str, Any]) -> list[dict[str, Any]]:
            return [] if self.is_hint(message) else [message]

        (writer, _), (_, receiver) = make(losing), make()
        time.sleep(0.6)
        before = receiver.compares
        writer.publish("default", [change("t", 1)])
        receiver.wait(lambda: receiver.compares > before)
        assert receiver.told == {}

    def test_messages_out_of_order_and_doubled_are_all_heard(self, make: Make) -> None:
        held: list[dict[str, Any]] = []

        def shuffling(message: dict[str, Any]) -> list[dict[str, Any]]:
            held.append(message)
            if len(held) < 3 and self.is_hint(message):
                return []
            sent = [*reversed(held), *held]
            held.clear()
            return sent

        (writer, _), (_, receiver) = make(shuffling, listening=False), make()
        for number in range(10):
            writer.publish("default", [change("t", number)])
            time.sleep(0.02)
        receiver.wait(lambda: receiver.told == {"t": set(range(10))} and receiver.compares > 1)

    def test_a_layer_that_swallows_all_is_noticed_by_its_silence(
        self, make: Make, caplog: pytest.LogCaptureFixture
    ) -> None:
        swallowing = threading.Event()
        (_, receiver) = make(lambda message: [] if swallowing.is_set() else [message])
        swallowing.set()
        wait_for(lambda: "no echo for" in caplog.text)
        before = receiver.compares
        swallowing.clear()
        receiver.wait(lambda: receiver.compares > before)

    def test_strangers_in_the_group_are_a_reason_to_compare(self, make: Make) -> None:
        (_, receiver) = make()
        before = receiver.compares
        (stranger, _) = make(lambda m: [{"type": "chat.message"}], listening=False)
        stranger.publish("default", [change("t", 1)])
        receiver.wait(lambda: receiver.compares > before)


class TestOutage:
    def test_an_outage_ends_in_a_compare_and_goes_on(
        self, make: Make, redis: Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        (writer, _), (_, receiver) = make(listening=False), make()
        writer.publish("default", [change("t", 1)])
        receiver.wait(lambda: receiver.told == {"t": {1}})
        before = receiver.compares
        redis.kill()
        for number in range(2, 50):
            writer.publish("default", [change("t", number)])
        time.sleep(1.5)
        redis.start()
        # The writer may be back first; then what it sends is missed, and compared for.
        receiver.wait(lambda: receiver.compares > before)
        writer.publish("default", [change("u", 1)])
        receiver.wait(lambda: "u" in receiver.told)
        ours = [r for r in caplog.records if "out of reach" in r.message]
        assert 1 <= len(ours) <= 2  # once for each of the two

    def test_what_is_written_after_a_short_outage_is_heard(self, make: Make, redis: Redis) -> None:
        (writer, _), (_, receiver) = make(listening=False), make()
        writer.publish("default", [change("t", 1)])
        receiver.wait(lambda: receiver.told == {"t": {1}})
        redis.kill()
        redis.start()
        before = receiver.compares
        writer.publish("default", [change("t", 2)])
        receiver.wait(lambda: receiver.told == {"t": {1, 2}} or receiver.compares > before)

    def test_a_broken_connection_is_noticed_before_any_beat(
        self, make: Make, redis: Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        with override_settings(BINDSERVER={"RELAY_BEAT_SECONDS": 3600}):
            (_, receiver) = make()
            redis.kill()
            redis.start()
            receiver.wait(lambda: receiver.compares > 1)
        assert not [record for record in caplog.records if record.name.startswith("channels")]

    def test_all_keys_of_redis_lost_is_healed(self, make: Make, redis: Redis) -> None:
        (writer, _), (_, receiver) = make(listening=False), make()
        redis.command("FLUSHALL")
        before = receiver.compares
        writer.publish("default", [change("t", 1)])
        receiver.wait(lambda: receiver.told == {"t": {1}} or receiver.compares > before)

    def test_a_process_that_ends_meanwhile_waits_only_for_so_long(
        self, make: Make, redis: Redis, caplog: pytest.LogCaptureFixture
    ) -> None:
        (writer, _) = make(listening=False)
        redis.kill()
        writer.publish("default", [change("t", 1)])
        writer.close(0.3)  # and not until Redis is back
        assert not redis.answers()
        redis.start()
        assert "the last hints of this process could not be sent" in caplog.text


@pytest.mark.parametrize(
    "layers",
    [
        None,
        {},
        {"other": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer"}},
        {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
    ],
)
def test_where_no_other_process_can_be_reached_nothing_is_started(layers: Any) -> None:
    before = threads()
    with override_settings(CHANNEL_LAYERS=layers):
        relay = Relay(Receiver())
        relay.listen()
        relay.publish("default", [change("t", 1)])
        assert not reaches_others()
        assert threads() == before
        relay.close()


@pytest.mark.parametrize(
    "backend",
    ["channels_redis.pubsub.RedisPubSubChannelLayer", "shop.layers.NotedInMemoryChannelLayer"],
)
def test_a_layer_of_ones_own_is_taken_to_reach_other_processes(backend: str) -> None:
    with override_settings(CHANNEL_LAYERS={"default": {"BACKEND": backend}}):
        assert reaches_others()


def test_a_layer_that_cannot_be_made_harms_no_writer(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    with override_settings(CHANNEL_LAYERS={"default": {"BACKEND": "no.such.Layer"}}):
        relay = Relay(Receiver())
        relay.publish("default", [change("t", 1)])
        said = "the channel layer is out of reach (InvalidChannelLayerError: "
        wait_for(lambda: said in caplog.text)
        relay.close(0.1)
