"""`/healthz`, `/readyz`, `/metrics`: enough HTTP for probes and scrapers, and no more."""

from __future__ import annotations

import asyncio
import errno
import json
from typing import Callable

from .config import ConfigError

Answer = tuple[int, str, bytes]
_REASONS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}
_READ_SECONDS = 5.0


def as_json(status: int, value: object) -> Answer:
    return status, "application/json", json.dumps(value).encode() + b"\n"


class HttpServer:
    """Answers GET by path, one request per connection."""

    def __init__(self, routes: dict[str, Callable[[], Answer]]) -> None:
        self._routes = routes
        self._server: asyncio.Server | None = None

    async def start(self, port: int) -> int:
        """Listens on this machine alone, as controllers do; returns the port. Raises ConfigError when it is taken."""
        try:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise ConfigError(f"port {port} is in use: set MILLRACE_HTTP_PORT to a free one, or to 0") from error
        return self._server.sockets[0].getsockname()[1]

    def _answer(self, head: bytes) -> Answer:
        method, _, rest = head.decode("latin-1").partition(" ")
        if method not in ("GET", "HEAD"):
            return as_json(405, {"error": "only GET"})
        route = self._routes.get(rest.split(" ")[0].split("?")[0])
        return as_json(404, {"error": "no such path"}) if route is None else route()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _READ_SECONDS)
            status, kind, body = self._answer(head)
            lines = [
                f"HTTP/1.1 {status} {_REASONS[status]}",
                f"content-type: {kind}",
                f"content-length: {len(body)}",
                "connection: close",
            ]
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if head.startswith(b"HEAD") else body))
            await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass
        finally:
            writer.close()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
