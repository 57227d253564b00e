"""A worker for gunicorn, as docs/deployment.md says."""

from uvicorn_worker import UvicornWorker


class Worker(UvicornWorker):  # type: ignore[misc]  # uvicorn_worker has no types
    CONFIG_KWARGS = {
        "http": "bindserver.server.requests:HTTPProtocol",
        "ws": "bindserver.server.sockets:WebSocketProtocol",
        "ws_per_message_deflate": False,
    }
