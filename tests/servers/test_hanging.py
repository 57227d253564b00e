"""A database that hangs: it is there, takes connections, and answers nothing. On servers of the
tests' own, whose processes are stopped and go on.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import DatabaseError, connections
from django.test import override_settings
from pytest_django import DjangoDbBlocker

from bindserver.bindings.binding import Binding
from bindserver.capture.log import log_of
from bindserver.cycle.inbox import ReadRequest
from bindserver.cycle.live_shape import NOWHERE
from bindserver.cycle.live_view import LiveView
from bindserver.cycle.load_messages import Result, Wanted
from bindserver.cycle.loader import Loader
from bindserver.cycle.waiting import Reading
from bindserver.database.pacing import Pacer
from bindserver.database.snapshot import open_connection
from bindserver.database.watchdog import Watchdog
from bindserver.exceptions import Unavailable
from bindserver.queries import reading
from bindserver.queries.query import Query
from tests.app.bindings import WordBinding
from tests.conftest import program_on
from tests.servers.transports.test_rest import ask
from tests.support.default import as_default
from tests.support.forwarder import Forwarder
from tests.support.mariadb import MariaDB
from tests.support.metrics import scraped_until
from tests.support.postgresql import Cluster, own_cluster
from tests.support.postgresql_fixtures import make_templates
from tests.support.process import PATIENCE_SECONDS, get
from tests.support.server import Server
from tests.support.talk import talking

SETTINGS = {"QUERY_SECONDS": 2, "STALE_SECONDS": 1, "METRICS_ALLOW": ["127.0.0.1"]}
SLEEP = {"postgresql": "SELECT pg_sleep({})", "mysql": "SELECT SLEEP({})"}


class Home:
    """A database server that can be stopped, and a database on it.

    Args:
        vendor: Django's name for its kind.
        server: it.
        url: the database's address.
    """

    def __init__(self, vendor: str, server: Cluster | MariaDB, url: str) -> None:
        self.vendor = vendor
        self.url = url
        self._server = server

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Let it answer nothing."""
        self._server.pause()
        try:
            yield
        finally:
            self._server.go_on()

    def pause(self) -> None:
        self._server.pause()

    def go_on(self) -> None:
        self._server.go_on()


@pytest.fixture(scope="module", params=["postgresql", "mysql"])
def home(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Home]:
    if request.param == "postgresql":
        with own_cluster() as cluster:
            template = make_templates(cluster, tmp_path_factory.mktemp("own"))[True]
            yield Home("postgresql", cluster, cluster.url(cluster.make_database(template)))
        return
    server = MariaDB().start()
    try:
        name = server.make()
        server.load(name, request.getfixturevalue("maria_template")[True])
        yield Home("mysql", server, server.url(name))
    finally:
        server.remove()


@pytest.fixture
def program(home: Home) -> Iterator[Any]:
    program = program_on(Server(Path("unused"), url=home.url))
    program.clean()
    yield program
    program.close()


@pytest.fixture
def server(home: Home, program: Any, tmp_path: Path) -> Iterator[Server]:
    program.add_products(2)
    with Server(tmp_path / "own", SETTINGS, url=home.url) as server:
        yield server


async def problems_of(server: Server) -> dict[str, str]:
    """Return why a server is not ready."""
    status, text = await asyncio.to_thread(get, f"http://127.0.0.1:{server.port}/readyz")
    problems: dict[str, str] = json.loads(text).get("problems", {})
    assert status == (503 if problems else 200)
    return problems


class TestAServer:
    async def test_says_so_refuses_what_is_asked_and_heals_by_itself(
        self, home: Home, program: Any, server: Server
    ) -> None:
        async with talking(server.ws) as talk:
            products = await talk.follow("products")
            keys, cursor = products.replica.held, products.cursor
            with home.hanging():
                await talk.until(lambda: products.replica.stale)
                await talk.say("tags", ref="meanwhile")
                refused = await talk.hear_data("tags")
                assert refused["payload"]["code"] == "unavailable"
                answer = await asyncio.to_thread(ask, server, "/bindings/products/")
                assert answer.status == 503
                problems = await problems_of(server)
                assert problems["database default"]
                async with asyncio.timeout(30):
                    while "views of default" not in (problems := await problems_of(server)):
                        await asyncio.sleep(0.1)
                assert re.fullmatch(r"\d+ s behind", problems["views of default"])
                await talk.ping(1)
            program.run("UPDATE app_product SET stock = 5")
            await talk.until(lambda: products.column("stock") == [5, 5], 30)
            assert not products.replica.stale
            assert "sync" not in products.actions[1:]
            again = await talk.follow("products", cursor=cursor, held=keys)
            assert again.column("stock") == [5, 5]
            assert await problems_of(server) == {}

    async def test_tells_its_metrics_as_fast_as_ever(
        self, home: Home, program: Any, server: Server
    ) -> None:
        async with talking(server.ws) as talk:
            products = await talk.follow("products")
            with home.hanging():
                heard = asyncio.ensure_future(talk.until(lambda: products.replica.stale))
                metrics = await scraped_until(server, lambda m: m.value("lag_seconds") > 0)
                assert metrics.value("connections") == 1
                assert metrics.value("rows", event="products") == 2
                await scraped_until(server, lambda m: m.value("database_up") == 0)
                await heard
            await scraped_until(server, lambda m: m.value("database_up") == 1)

    async def test_takes_new_sockets_and_wishes_before_it_has_noticed(
        self, home: Home, program: Any, tmp_path: Path
    ) -> None:
        patient = {**SETTINGS, "STALE_SECONDS": 6}
        with Server(tmp_path / "patient", patient, url=home.url) as server:
            async with talking(server.ws) as talk:
                await talk.follow("products")
                await talk.silence(0.3)  # no turn, but looks at the log
                with home.hanging():
                    async with talking(server.ws) as other:
                        await other.say("products")
                        for _ in range(5):
                            await asyncio.sleep(0.2)
                            await other.ping(4)

    async def test_lets_a_long_query_end_that_may_take_so_long(
        self, home: Home, program: Any, server: Server
    ) -> None:
        program.run("INSERT INTO app_word VALUES ('slow', 1)")
        with slow_words(home, program, 1.5):
            async with talking(server.ws) as talk:
                words = await talk.follow("words")
                assert words.column("text") == ["slow"]
        assert "has not answered" not in server.log.read_text()

    async def test_heals_when_it_hung_in_the_middle_of_a_query(
        self, home: Home, program: Any, server: Server
    ) -> None:
        program.run("INSERT INTO app_word VALUES ('slow', 1)")
        async with talking(server.ws) as talk:
            products = await talk.follow("products")
            with slow_words(home, program, 1.5):
                await talk.say("words")
                await asyncio.sleep(0.7)  # now the turn reads them, or nothing is shown here
                with home.hanging():
                    await talk.until(lambda: products.replica.stale)
                await talk.until(lambda: not products.replica.stale, 30)
            words = await talk.follow("words")
            await talk.until(lambda: words.column("text") == ["slow"])
            assert "has not answered" in server.log.read_text()


async def test_what_a_silent_connection_was_loading_is_loaded_by_another(
    home: Home, program: Any, tmp_path: Path
) -> None:
    program.run("INSERT INTO app_word VALUES ('slow', 1), ('slower', 2), ('slowest', 3)")
    port = urlsplit(home.url).port
    assert port is not None
    address = Forwarder(port)
    # A busy machine's answer may take a second: a connection that was given up for that is another.
    # Whoever is silenced in the middle of a turn is given up after both together.
    patient = {"QUERY_SECONDS": 10, "STALE_SECONDS": 5, "SYNC_ROWS": 2}
    url = home.url.replace(str(port), str(address.port))
    with Server(tmp_path / "patient", patient, url=url) as server:
        async with talking(server.ws) as talk:
            products = await talk.follow("products")
            with slow_words(home, program, 1.5):
                await talk.say("words")
                await talk.hear_data("$subscribed")  # the turn has left them to the loader
                await asyncio.sleep(0.3)
                address.silence()
                await talk.until(lambda: products.replica.stale)
                await talk.until(lambda: not products.replica.stale, 30)
                words = talk.following("words")
                await talk.until(lambda: words.column("text") == ["slow", "slower", "slowest"], 30)
    address.close()


@contextmanager
def slow_words(home: Home, program: Any, seconds: float) -> Iterator[None]:
    """Let each read of the words take a while."""
    sleep = SLEEP[home.vendor].format(seconds)
    program.run("ALTER TABLE app_word RENAME TO quick_word")
    program.run(
        "CREATE VIEW app_word AS SELECT text, count FROM quick_word "
        f"WHERE ({sleep.replace('SELECT pg', 'SELECT count(*) FROM pg')}) IS NOT NULL"
    )
    try:
        yield
    finally:
        program.run("DROP VIEW app_word")
        program.run("ALTER TABLE quick_word RENAME TO app_word")


@pytest.fixture
def at_home(home: Home, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """This process's "default" is the database that can hang."""
    with as_default(home.url, django_db_blocker):
        yield


@pytest.fixture
def own(at_home: None) -> Iterator[Any]:
    """A connection as a thread of ours has it."""
    usual = connections["default"]
    connection = open_connection("default")
    yield connection
    connection.close()
    connections["default"] = usual


@pytest.fixture
def watchdog(own: Any) -> Iterator[Watchdog]:
    watchdog = Watchdog(own)
    yield watchdog
    watchdog.close()


def run(connection: Any, sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        cursor.fetchall()


class TestAWatchdog:
    def test_ends_a_call_that_gets_no_answer(
        self, home: Home, own: Any, watchdog: Watchdog
    ) -> None:
        run(own, "SELECT 1")
        with home.hanging(), watchdog.patience(0.5), pytest.raises(DatabaseError):
            run(own, "SELECT 1")
        own.close()
        run(own, "SELECT 1")

    def test_notices_a_connection_that_was_made_in_the_block(
        self, home: Home, own: Any, watchdog: Watchdog
    ) -> None:
        with watchdog.patience(0.5):
            run(own, "SELECT 1")
            with home.hanging(), pytest.raises(DatabaseError):
                run(own, "SELECT 1")

    def test_gives_each_statement_all_the_time(
        self, home: Home, own: Any, watchdog: Watchdog
    ) -> None:
        with watchdog.patience(1):
            for _ in range(4):
                run(own, SLEEP[home.vendor].format(0.4))

    def test_leaves_a_connection_alone_that_waits_for_nothing(
        self, home: Home, own: Any, watchdog: Watchdog
    ) -> None:
        with watchdog.patience(0.1):
            run(own, "SELECT 1")
        with home.hanging():
            watchdog.look()
            time.sleep(0.5)
            watchdog.look()
        run(own, "SELECT 1")

    def test_its_thread_ends_with_the_last_one(self, own: Any) -> None:
        watchdog = Watchdog(own)
        names = {thread.name for thread in threading.enumerate()}
        assert "bindserver-watchdog" in names
        (thread,) = (t for t in threading.enumerate() if t.name == "bindserver-watchdog")
        watchdog.close()
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()


@pytest.fixture
def loading(
    home: Home, at_home: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., tuple[Loader, SimpleQueue[Result]]]]:
    """Begin a load, in the middle of which the database hangs, or rows are read without end."""
    loaders: list[Loader] = []

    def begin(endless: bool = False) -> tuple[Loader, SimpleQueue[Result]]:
        binding: Binding[Any] = WordBinding()
        live = LiveView(Query(binding), binding, b"secret")
        live.await_rows([Reading(ReadRequest(instance=binding), NOWHERE)])
        load: Callable[..., Any] = reading.load_held
        begun = threading.Event()

        def hang(query: Query, recorder: Any, pacer: Pacer) -> Any:
            if not endless:
                home.pause()
            begun.set()
            while endless:
                pacer.pause()
            return load(query, recorder, pacer)

        monkeypatch.setattr(reading, "load_held", hang)
        done: SimpleQueue[Result] = SimpleQueue()
        now = log_of(connections["default"]).position()
        loaders.append(Loader("default", done.put))
        loaders[-1].load(Wanted(lives=[live], since=now, durable=True))
        assert begun.wait(PATIENCE_SECONDS)
        return loaders[-1], done

    yield begin
    home.go_on()
    for loader in loaders:
        loader.stop()


class TestALoader:
    @override_settings(BINDSERVER={"QUERY_SECONDS": 0.2, "STALE_SECONDS": 0.5})
    def test_comes_back_with_what_went_wrong(self, loading: Any) -> None:
        _, done = loading()
        problem = done.get(timeout=60).problem
        assert isinstance(problem, Unavailable)  # no binding's fault
        assert isinstance(problem.__cause__, DatabaseError)

    @override_settings(BINDSERVER={"QUERY_SECONDS": 60, "STALE_SECONDS": 1})
    def test_gives_up_at_once_what_another_has_found_to_be_lost(self, loading: Any) -> None:
        loader, done = loading()
        loader.give_up()
        problem = done.get(timeout=60).problem
        assert isinstance(problem, Unavailable)  # no binding's fault
        assert isinstance(problem.__cause__, DatabaseError)

    @override_settings(BINDSERVER={"QUERY_SECONDS": 60, "STALE_SECONDS": 1})
    @pytest.mark.parametrize("endless", [False, True])
    def test_is_stopped_in_the_middle_of_a_load(self, loading: Any, endless: bool) -> None:
        loader, _ = loading(endless)
        stopping = threading.Thread(target=loader.stop, daemon=True)
        stopping.start()
        stopping.join(PATIENCE_SECONDS)
        assert not stopping.is_alive()
