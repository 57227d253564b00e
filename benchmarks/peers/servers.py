"""The servers, each by name: how it is started, and how clients speak to it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks.peers.audience import Manner, text_frame
from tests.support.server import ROOT

PROGRAMS = Path(__file__).with_name("programs")
PAYLOAD = (PROGRAMS / "payload.json").read_text().strip()
PYTHON = ROOT / ".bench/venv/bin/python"
NCHAN = ROOT / ".bench/nchan/usr/lib/nginx/modules/ngx_nchan_module.so"

PLAIN = Manner(trigger=text_frame("go"))
SOCKET_IO = Manner(
    path="/socket.io/?EIO=4&transport=websocket",
    greeting=text_frame("40"),
    greeted=b'40{"sid"',
    marker=b'42["products"',
    trigger=text_frame('42["go"]'),
)
POST_HEAD = f"POST /pub HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(PAYLOAD)}\r\n\r\n"
POST = Manner(trigger=f"{POST_HEAD}{PAYLOAD}".encode(), posts=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A server to compare with.

    Attributes:
        title: what it is.
        manner: how clients speak to it.
        command: returns what starts it on a port, given a folder of its own.
        needs: what must be there for it.
        version: says which one it is.
    """

    title: str
    manner: Manner
    command: Callable[[int, Path], Sequence[str]]
    needs: Path
    version: Callable[[], str]


def in_python(title: str, script: str, *packages: str, manner: Manner = PLAIN) -> Peer:
    """Return a program in Python, with packages of benchmarks' own environment."""

    def told() -> str:
        code = f"from importlib.metadata import version as v; print(*map(v, {packages!r}))"
        done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True)
        return ", ".join(f"{a} {b}" for a, b in zip(packages, done.stdout.split(), strict=True))

    def command(port: int, folder: Path) -> Sequence[str]:
        return [str(PYTHON), str(PROGRAMS / script), str(port)]

    return Peer(title=title, manner=manner, command=command, needs=PYTHON, version=told)


def on_node(title: str, script: str, package: str, *, manner: Manner = PLAIN) -> Peer:
    """Return a program on Node.js, with a package."""
    about = PROGRAMS / "node_modules" / package / "package.json"

    def told() -> str:
        node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
        return f"{package} {json.loads(about.read_text())['version']}, Node {node.stdout.strip()}"

    def command(port: int, folder: Path) -> Sequence[str]:
        return ["node", str(PROGRAMS / script), str(port)]

    return Peer(title=title, manner=manner, command=command, needs=about, version=told)


def _nginx(port: int, folder: Path) -> Sequence[str]:
    text = (PROGRAMS / "nchan.conf").read_text()
    for word, value in (("MODULE", NCHAN), ("FOLDER", folder), ("PORT", port)):
        text = text.replace(word, str(value))
    (folder / "nginx.conf").write_text(text)
    return [_nginx_program(), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]


def _nginx_program() -> str:
    return shutil.which("nginx", path="/usr/sbin:/usr/bin") or "nginx"


def _nginx_version() -> str:
    done = subprocess.run([_nginx_program(), "-v"], capture_output=True, text=True, check=True)
    return f"nginx {done.stderr.rpartition('/')[2].strip()}"


PEERS: dict[str, Peer] = {
    "nchan": Peer(
        title="nginx with nchan", manner=POST, command=_nginx, needs=NCHAN, version=_nginx_version
    ),
    "picows": in_python("picows", "fast.py", "picows", "uvloop"),
    "ws": on_node("ws on Node.js", "ws.mjs", "ws"),
    "uvicorn": in_python("a bare application under uvicorn", "bare.py", "uvicorn", "websockets"),
    "socket.io": on_node("Socket.IO on Node.js", "socketio.mjs", "socket.io", manner=SOCKET_IO),
    "python-socketio": in_python(
        "python-socketio under uvicorn", "socketio_server.py", "python-socketio", "uvicorn",
        manner=SOCKET_IO,
    ),
    "channels": in_python("a group of Channels, under uvicorn", "groups.py", "channels", "uvicorn"),
}  # fmt: skip


def own_version() -> str:
    """Return the version of what is measured."""
    python = sys.version.split()[0]
    return f"bindserver {version('bindserver')}, uvicorn {version('uvicorn')}, Python {python}"
