"""The runner: uvicorn, as a binding server wants it."""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any

import uvicorn
from uvicorn.config import LOGGING_CONFIG

from bindserver.conf import conf
from bindserver.exceptions import CannotListen
from bindserver.hub.hub import hub
from bindserver.metrics.access import is_wanted
from bindserver.server.draining import (
    SPARE_SECONDS,
    DrainingServer,
    end_anyway_after,
    leave_in_order,
    seconds_to_end,
)
from bindserver.server.members import Member
from bindserver.server.requests import HTTPProtocol
from bindserver.server.sockets import WebSocketProtocol
from bindserver.server.supervisor import Succession, Supervisor
from bindserver.server.worker import Worker

DRAIN_SECONDS = 10
"""How long requests may take to end, and clients to take what was written, at a stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPlan:
    """What to serve, and how.

    Attributes:
        application: where the ASGI application is, as in "shop.asgi:application".
        host: the address to listen on.
        port: the port, 0 for a free one.
        uds: a Unix socket's path, in place of host and port.
        workers: how many processes.
        proxy_headers: whether to believe `X-Forwarded-For` and `X-Forwarded-Proto`.
        forwarded_allow_ips: whose headers to believe; None for uvicorn's own default, and on a
            Unix socket for everybody who may open it.
        drain_seconds: how long what is under way may take when a process is told to end.
    """

    application: str
    host: str = "127.0.0.1"
    port: int = 8000
    uds: str | None = None
    workers: int = 1
    proxy_headers: bool = True
    forwarded_allow_ips: str | None = None
    drain_seconds: int = DRAIN_SECONDS


def listen(plan: ServerPlan) -> socket.socket:
    """Return a socket that has the plan's address; connections are taken once it is served.

    Raises:
        CannotListen: the address is taken, forbidden, or not this machine's.
    """
    if plan.uds is not None:
        return _take_path(Path(plan.uds))
    family = socket.AF_INET6 if ":" in plan.host else socket.AF_INET
    sock = socket.socket(family)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((plan.host, plan.port))
    except (OSError, OverflowError) as problem:
        sock.close()
        raise CannotListen(_reason(problem, plan)) from None
    sock.set_inheritable(True)
    return sock


def _take_path(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    try:
        if path.is_socket() and sock.connect_ex(str(path)) == errno.ECONNREFUSED:
            path.unlink()  # left behind by a process that is gone
        sock.close()
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(path))
        path.chmod(0o666)  # the proxy is another user; the folder says who may come near
    except OSError as problem:
        sock.close()
        raise CannotListen(f"Cannot listen on {path}: {problem.strerror or problem}.") from None
    sock.set_inheritable(True)
    return sock


def _reason(problem: OSError | OverflowError, plan: ServerPlan) -> str:
    place = f"port {plan.port} of {plan.host}"
    if isinstance(problem, OverflowError):
        return f"There is no {place}: ports end at 65535."
    if problem.errno == errno.EADDRINUSE:
        return f"{place.capitalize()} is in use already: stop who has it, or choose another --port."
    if problem.errno == errno.EACCES:
        return f"{place.capitalize()} is not ours to take: choose a --port above 1023."
    return f"Cannot listen on {place}: {problem.strerror or problem}."


def serve(plan: ServerPlan, sock: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM, and then end in order.

    Then no more connections are taken, WebSockets are closed with 1012, so that clients come back
    after a random wait, and requests have the plan's `drain_seconds` to end. At SIGHUP each process
    is replaced, once another one serves in its place.

    Args:
        plan: what to serve.
        sock: where to; `listen` makes it.

    Raises:
        SystemExit: it has ended by a signal, with status 0; or it could not start.
    """
    metrics = _metrics_folder(plan)
    config = partial(_configure, plan, None if metrics is None else metrics.name)
    try:
        if threading.current_thread() is not threading.main_thread():
            uvicorn.Server(config()).run(sockets=[sock])  # below the reloader, which ends it
        else:
            leave_in_order()
            (_serve_alone if plan.workers == 1 else _serve_by_workers)(plan, config, sock)
    finally:
        hub.stop()
        if metrics is not None:
            metrics.cleanup()
        if plan.uds is not None:
            Path(plan.uds).unlink(missing_ok=True)


def _configure(plan: ServerPlan, metrics: str | None) -> uvicorn.Config:
    """Return what uvicorn is told; anew for each process, as one that has been loaded stays here.

    Args:
        plan: what to serve.
        metrics: the folder by which processes share their metrics, if they do.
    """
    return uvicorn.Config(
        Worker(path=plan.application, metrics=metrics),
        factory=True,
        interface="asgi3",
        workers=plan.workers,
        http=HTTPProtocol,
        ws=WebSocketProtocol,
        ws_max_size=int(conf.MAX_MESSAGE_BYTES),
        ws_per_message_deflate=False,
        proxy_headers=plan.proxy_headers,
        forwarded_allow_ips=plan.forwarded_allow_ips or ("*" if plan.uds else None),
        log_config=_logging(),
        log_level=os.environ.get("LOG_LEVEL", "info").lower(),
        timeout_graceful_shutdown=plan.drain_seconds,
    )


def _serve_alone(
    plan: ServerPlan, config: Callable[[], uvicorn.Config], sock: socket.socket
) -> None:
    """Serve in this process; from the first SIGHUP on look after the one that serves in its
    place."""
    make = partial(_begin, config, sock)
    succession = Succession(make)
    seconds = seconds_to_end(plan.drain_seconds)

    def before_end() -> None:
        if not succession.is_over:
            sock.close()
            end_anyway_after(seconds)

    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, succession.hear)
    server = DrainingServer(config(), is_to_end=succession.is_done, before_end=before_end)
    try:
        server.run(sockets=[sock.dup()])
    except SystemExit:  # it has been told to end, perhaps while another was taking over
        _supervisor(make, succession.members, seconds, sock).stop()
        raise
    supervisor = _supervisor(make, succession.members, seconds, sock, succession.signals)
    if succession.is_over:
        _end_with(supervisor.run())
    else:
        supervisor.stop()


def _serve_by_workers(
    plan: ServerPlan, config: Callable[[], uvicorn.Config], sock: socket.socket
) -> None:
    make = partial(_begin, config, sock)
    members = [make() for _ in range(plan.workers)]
    _end_with(_supervisor(make, members, seconds_to_end(plan.drain_seconds), sock).run())


def _supervisor(
    make: Callable[[], Member],
    members: Sequence[Member],
    seconds: float,
    sock: socket.socket,
    signals: SimpleQueue[int] | None = None,
) -> Supervisor:
    """Return who looks after workers.

    Args:
        make: begins one.
        members: the first ones.
        seconds: how long one may take to end.
        sock: where they serve.
        signals: those that have not been obeyed yet.
    """

    def stop_listening() -> None:
        sock.close()
        # A thread of this process's own may be left from when it served alone.
        end_anyway_after(seconds + SPARE_SECONDS)

    return Supervisor(make, members, seconds, stop_listening, signals)


def _end_with(status: int) -> None:
    if status:
        sys.exit(status)


def _begin(config: Callable[[], uvicorn.Config], sock: socket.socket) -> Member:
    return Member(config(), sock)


def _metrics_folder(plan: ServerPlan) -> TemporaryDirectory[str] | None:
    """Return a new folder by which several workers share their metrics, if they do."""
    if plan.workers == 1 or not is_wanted() or conf.METRICS_FOLDER is not None:
        return None
    return TemporaryDirectory(prefix="bindserver-metrics-", ignore_cleanup_errors=True)


def _logging() -> dict[str, Any]:
    """Return uvicorn's own logging, with lines of JSON where the variable LOG_FORMAT wants them."""
    config = deepcopy(LOGGING_CONFIG)
    if os.environ.get("LOG_FORMAT", "").lower() == "json":
        for formatter in config["formatters"].values():
            formatter.clear()
            formatter["()"] = "bindserver.logs.JsonFormatter"
    return config
