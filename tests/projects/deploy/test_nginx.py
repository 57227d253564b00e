"""deploy/nginx.conf before a real server, with a certificate of the test's own."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path

import pytest

from tests.conftest import MakeServer
from tests.support.process import Process
from tests.support.program import Program
from tests.support.server import ROOT, Server, free_port
from tests.support.sqlite import SQLiteProgram
from tests.support.streams import Stream
from tests.support.talk import Talk, talking

NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
NAME = "live.example"
CLIENT = "127.0.0.9"
"""An address of this machine that is none of the server's, to be known by."""


class Site:
    """nginx with our file, in a folder of its own.

    Args:
        folder: for its files.
        server: what stands behind it.
    """

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder = folder
        self.server = server
        self.port, self.plain = free_port(), free_port()
        self.tls = ssl.create_default_context(cafile=certify(folder))

    @property
    def ws(self) -> str:
        return f"wss://{NAME}:{self.port}/ws/"

    def write(self) -> Path:
        """Write the main file around ours, in which only names, paths and ports are changed."""
        text = (ROOT / "deploy/nginx.conf").read_text()
        (self.folder / "static").mkdir()
        (self.folder / "static/a.js").write_text("1")
        for ours, yours in {
            "server 127.0.0.1:8000;": f"server 127.0.0.1:{self.server.port};",
            "listen 80;": f"listen {self.plain};",
            "listen 443 ssl;": f"listen {self.port} ssl;",
            "/etc/ssl/live.example": f"{self.folder}/live.example",
            "alias /srv/bindserver/static/;": f"alias {self.folder}/static/;",
            # Shorter than the idle connection of a test below, and longer than a ping's interval.
            "proxy_read_timeout 75s;": "proxy_read_timeout 22s;",
        }.items():
            assert ours in text, ours
            text = text.replace(ours, yours)
        (self.folder / "site.conf").write_text(text)
        main = self.folder / "nginx.conf"
        main.write_text(
            f"daemon off; pid {self.folder}/pid; error_log {self.folder}/error.log;\n"
            f"user {owner()};\nevents {{}}\n"
            f"http {{ access_log off; client_body_temp_path {self.folder};\n"
            f"proxy_temp_path {self.folder}; include {self.folder}/site.conf; }}\n"
        )
        return main

    def get(
        self, path: str, headers: Mapping[str, str] | None = None, *, plain: bool = False
    ) -> tuple[int, dict[str, str], str]:
        """Return the status, headers and text of a page, as a stranger from CLIENT gets them."""
        port = self.plain if plain else self.port
        connection = Connection(port, None if plain else self.tls)
        connection.request("GET", path, headers={"Host": f"{NAME}:{port}", **(headers or {})})
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, text


class Connection(http.client.HTTPConnection):
    """A connection from CLIENT to this machine that asks for NAME."""

    def __init__(self, port: int, tls: ssl.SSLContext | None) -> None:
        super().__init__("127.0.0.1", port, timeout=20, source_address=(CLIENT, 0))
        self._tls = tls

    def connect(self) -> None:
        super().connect()
        if self._tls is not None:
            self.sock = self._tls.wrap_socket(self.sock, server_hostname=NAME)


def owner() -> str:
    """nginx's workers run as us, for they must read the test's folder."""
    return "root" if os.getuid() == 0 else os.environ.get("USER", "nobody")


def certify(folder: Path) -> Path:
    """Make a certificate for NAME that it has signed itself."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-keyout", str(folder / "live.example.key"), "-subj", f"/CN={NAME}"]
    command += ["-out", str(folder / "live.example.pem"), "-addext", f"subjectAltName=DNS:{NAME}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "live.example.pem"


@pytest.fixture(scope="module")
def site(make_server: MakeServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    assert NGINX, "no nginx here: apt-get install nginx-light openssl"
    site = Site(tmp_path_factory.mktemp("nginx"), make_server().start())
    command = [NGINX, "-e", str(site.folder / "error.log"), "-c", str(site.write())]
    process = Process(
        command, port=site.port, env=dict(os.environ), cwd=site.folder, log=site.folder / "log"
    )
    with process:
        yield site


@pytest.fixture
def program(site: Site) -> Iterator[Program]:
    program = SQLiteProgram(site.server.database)
    program.clean()
    yield program
    program.close()


def connect(site: Site, **headers: str) -> AbstractAsyncContextManager[Talk]:
    """Open a WebSocket through nginx."""
    return talking(site.ws, headers, ssl=site.tls, host="127.0.0.1", port=site.port)


async def test_a_websocket_talks_over_tls(site: Site, program: Program) -> None:
    async with connect(site, Origin=f"https://{NAME}:{site.port}") as talk:
        following = await talk.follow("products")
        program.add_products(3)
        await talk.until(lambda: following.column("id") == [1, 2, 3])


async def test_many_cookies_and_an_address_without_its_slash_are_no_matter(site: Site) -> None:
    address = site.ws.removesuffix("/")
    headers = {"Cookie": "a=" + "x" * 12_000}
    async with talking(address, headers, ssl=site.tls, host="127.0.0.1", port=site.port) as talk:
        await talk.ping()


async def test_a_websocket_s_address_opened_as_a_page_says_what_it_is(site: Site) -> None:
    for path in ("/ws/", "/ws"):
        status, headers, text = site.get(path)
        assert (status, headers["upgrade"]) == (426, "websocket")
        assert "speaks WebSocket" in text


async def test_a_page_of_another_origin_is_refused(site: Site) -> None:
    for origin in ("https://evil.example", f"https://{NAME}.evil.example:{site.port}", "null"):
        async with connect(site, Origin=origin) as talk:
            assert await talk.closed() == 4403


async def test_a_connection_that_is_silent_for_longer_than_nginx_waits_stays(
    site: Site, program: Program
) -> None:
    """The server's pings, every 20 s, are what nginx hears. The client's own are off here."""
    async with connect(site) as talk:
        following = await talk.follow("products")
        await asyncio.sleep(24)
        program.add_products(1)
        await talk.until(lambda: following.column("id") == [1])


def test_a_snapshot_comes_with_its_etag_and_then_304(site: Site, program: Program) -> None:
    program.add_products(2)
    status, headers, text = site.get("/bindings/products/")
    assert (status, len(json.loads(text))) == (200, 2)
    assert headers["strict-transport-security"] == "max-age=300"
    status, again, text = site.get("/bindings/products/", {"If-None-Match": headers["etag"]})
    assert (status, text) == (304, "")
    assert again["etag"] == headers["etag"]


def test_the_server_sees_the_client_s_address_host_and_https(site: Site) -> None:
    _, _, text = site.get("/bindings/", {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "ftp"})
    assert json.loads(text)[0]["url"].startswith(f"https://{NAME}:{site.port}/bindings/")
    log = site.server.log.read_text()
    assert f'{CLIENT}:0 - "GET /bindings/ HTTP/1.1" 200' in log
    assert "6.6.6.6" not in log


def test_plain_http_is_sent_to_https(site: Site) -> None:
    status, headers, _ = site.get("/bindings/?a=1", plain=True)
    assert (status, headers["location"]) == (308, f"https://{NAME}/bindings/?a=1")


def test_static_files_are_nginx_s_and_probes_are_nobody_s(site: Site) -> None:
    assert site.get("/static/a.js")[0] == 200
    assert site.get("/static/../site.conf")[0] in (400, 404)
    for path in ("/healthz", "/readyz", "/metrics"):
        assert site.get(path)[0] == 404


def test_nginx_itself_finds_nothing_to_say(site: Site) -> None:
    assert NGINX
    done = subprocess.run(
        [NGINX, "-t", "-c", str(site.folder / "nginx.conf")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr


def test_an_event_stream_comes_as_it_is_written(site: Site, program: Program) -> None:
    connection = Connection(site.port, site.tls)
    host = f"{NAME}:{site.port}"
    connection.request(
        "GET", "/bindings/tags/", headers={"Host": host, "Accept": "text/event-stream"}
    )
    with closing(connection):
        stream = Stream(connection.getresponse())
        assert stream.next().name == "sync"
        for key in (1, 2):
            program.run(f"INSERT INTO app_tag (id, name) VALUES ({key}, 'a')")
            assert stream.next().data["payload"]["id"] == key
