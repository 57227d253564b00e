"""What is said of a project that is going to be deployed, and when it is silent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.core.checks import CheckMessage, Info, run_checks
from django.test import override_settings

from bindserver import checks
from bindserver.checks import deploy
from bindserver.checks.deploy import DEPLOYMENT
from bindserver.checks.looks import Look

CORE = "channels_redis.core.RedisChannelLayer"
PUBSUB = "channels_redis.pubsub.RedisPubSubChannelLayer"


def told(look: Look, **changed: Any) -> list[str]:
    """Return the ids that a look yields under some settings; each says what is wrong, and what to
    do."""
    with override_settings(**changed):
        found = list(look())
    assert all(str(message.msg).endswith(".") for message in found)
    assert all(str(message.hint).endswith(".") for message in found)
    return [str(message.id).removeprefix("bindserver.") for message in found]


def on_redis(backend: str, *hosts: Any) -> dict[str, Any]:
    return {"default": {"BACKEND": backend, "CONFIG": {"hosts": list(hosts)}}}


def test_they_are_run_by_check_deploy_alone() -> None:
    def ids(*, deployed: bool) -> set[str | None]:
        with override_settings(DEBUG=True):
            found = run_checks(tags=[checks.TAG], include_deployment_checks=deployed)
        return {message.id for message in found}

    assert "bindserver.W101" in ids(deployed=True)
    assert "bindserver.W101" not in ids(deployed=False)


def test_all_of_them_are_run() -> None:
    def one(number: int) -> Look:
        def look() -> Iterator[CheckMessage]:
            yield Info(f"{number}.")

        return look

    many = {title: one(number) for number, title in enumerate(DEPLOYMENT)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deploy, "DEPLOYMENT", many)
        assert len(checks.check_deployment()) == len(DEPLOYMENT)


def test_settings_that_cannot_be_read_are_told_by_their_own_check_alone() -> None:
    with override_settings(BINDSERVER={"ORIGINS": 5}, DEBUG=True):
        assert checks.check_deployment() == []
        assert [message.id for message in checks.check_settings()] == ["bindserver.E001"]


def test_debug_mode_is_told() -> None:
    assert told(deploy.debug_is_on, DEBUG=True) == ["W101"]
    assert told(deploy.debug_is_on, DEBUG=False) == []


class TestProcesses:
    IN_MEMORY = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}

    def test_a_layer_in_memory_is_told(self) -> None:
        assert told(deploy.processes_apart, CHANNEL_LAYERS=self.IN_MEMORY) == ["W102"]

    def test_signals_without_a_layer_are_told(self) -> None:
        signals = {"CAPTURE": "signals"}
        assert told(deploy.processes_apart, CHANNEL_LAYERS={}, BINDSERVER=signals) == ["W102"]

    def test_a_change_log_needs_no_layer(self) -> None:
        assert told(deploy.processes_apart, CHANNEL_LAYERS={}, BINDSERVER={}) == []

    def test_redis_joins_processes(self) -> None:
        layers = on_redis(PUBSUB, "redis://r")
        signals = {"CAPTURE": "signals"}
        assert told(deploy.processes_apart, CHANNEL_LAYERS=layers, BINDSERVER=signals) == []


class TestRedis:
    @pytest.mark.parametrize("backend", [CORE, PUBSUB])
    @pytest.mark.parametrize(
        "hosts",
        [
            ["redis://r:6379/0"],
            [("r", 6379)],
            [{"address": "redis://r"}],
            [{"host": "r", "port": 6379}],
            [{"address": "redis://r", "max_connections": 9}, "redis://s"],
            [],
        ],
    )
    def test_a_pool_without_a_bound_is_told(self, backend: str, hosts: list[Any]) -> None:
        layers = on_redis(backend, *hosts)
        assert told(deploy.redis_without_bound, CHANNEL_LAYERS=layers) == ["W103"]

    @pytest.mark.parametrize(
        "host",
        [
            "redis://r:6379/0?max_connections=50",
            {"address": "redis://r", "max_connections": 50},
            {"address": "redis://r?max_connections=50"},
            {"host": "r", "port": 6379, "max_connections": 50},
        ],
    )
    def test_one_with_a_bound_is_not(self, host: Any) -> None:
        assert told(deploy.redis_without_bound, CHANNEL_LAYERS=on_redis(PUBSUB, host)) == []

    def test_other_layers_have_no_pool_of_redis_py_s(self) -> None:
        assert told(deploy.redis_without_bound, CHANNEL_LAYERS=on_redis("own.Layer")) == []

    def test_the_core_layer_s_own_capacity_is_named(self) -> None:
        layers = on_redis(CORE, "redis://r")
        layers["default"]["CONFIG"]["capacity"] = 5_000
        with override_settings(CHANNEL_LAYERS=layers):
            assert "more than 5000 wait" in checks.check_channel_layer()[0].msg
        del layers["default"]["CONFIG"]["capacity"]
        with override_settings(CHANNEL_LAYERS=layers):
            assert "more than 100 wait" in checks.check_channel_layer()[0].msg


class TestConnections:
    @pytest.mark.parametrize("age", [None, 60])
    def test_one_that_threads_keep_is_told(self, age: int | None) -> None:
        assert self._told("postgresql", age) == ["W104"]

    def test_one_that_is_closed_is_not(self) -> None:
        assert self._told("postgresql", 0) == []

    def test_sqlite_has_room_for_all(self) -> None:
        assert self._told("sqlite3", 60) == []

    def _told(self, engine: str, age: int | None) -> list[str]:
        database = {"ENGINE": f"django.db.backends.{engine}", "NAME": "x", "CONN_MAX_AGE": age}
        with pytest.MonkeyPatch.context() as patch:
            vendor = {"sqlite3": "sqlite"}.get(engine, engine)
            wrapper = type("Wrapper", (), {"vendor": vendor})
            patch.setattr(deploy, "connections", {"default": wrapper})
            patch.setattr(settings, "DATABASES", {"default": database})
            return told(deploy.connections_kept)


class TestOrigins:
    def test_any_host_without_origins_is_told(self) -> None:
        assert told(deploy.strangers_pages, ALLOWED_HOSTS=["*"], BINDSERVER={}) == ["W105"]

    def test_hosts_that_are_named_are_enough(self) -> None:
        assert told(deploy.strangers_pages, ALLOWED_HOSTS=["shop.example"], BINDSERVER={}) == []

    def test_origins_that_are_named_are_enough(self) -> None:
        origins = {"ORIGINS": ["https://shop.example"]}
        assert told(deploy.strangers_pages, ALLOWED_HOSTS=["*"], BINDSERVER=origins) == []

    def test_the_origin_of_every_sandbox_is_told(self) -> None:
        assert told(deploy.strangers_pages, BINDSERVER={"ORIGINS": ["null"]}) == ["W105"]

    def test_an_origin_that_may_post_and_not_connect_is_told(self) -> None:
        changed = {
            "CSRF_TRUSTED_ORIGINS": ["https://Shop.example", "https://office.example"],
            "BINDSERVER": {"ORIGINS": ["https://shop.example"]},
        }
        with override_settings(**changed):
            [message] = deploy.strangers_pages()
        assert "has https://office.example, and" in message.msg


class TestInstalling:
    @pytest.mark.parametrize("capture", ["auto", "log"])
    def test_a_server_that_may_is_told(self, capture: str) -> None:
        assert told(deploy.schema_changes, BINDSERVER={"CAPTURE": capture}) == ["W106"]

    @pytest.mark.parametrize("setting", [{"RUNTIME_INSTALL": False}, {"CAPTURE": "signals"}])
    def test_one_that_never_does_is_not(self, setting: dict[str, Any]) -> None:
        assert told(deploy.schema_changes, BINDSERVER=setting) == []
