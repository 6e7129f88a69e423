"""Messages between the host and its pool processes: JSON behind a length of four bytes, over a socket pair."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from typing import Any

Frame = dict[str, Any]
_LENGTH = struct.Struct(">I")


def pack(frame: Frame) -> bytes:
    data = json.dumps(frame, separators=(",", ":"), ensure_ascii=False).encode()
    return _LENGTH.pack(len(data)) + data


def _exactly(link: socket.socket, size: int) -> bytes | None:
    chunks = bytearray()
    while len(chunks) < size:
        chunk = link.recv(size - len(chunks))
        if not chunk:
            return None
        chunks.extend(chunk)
    return bytes(chunks)


def receive(link: socket.socket) -> Frame | None:
    """The next frame, blocking; None when the other side is gone."""
    try:
        head = _exactly(link, _LENGTH.size)
        data = None if head is None else _exactly(link, _LENGTH.unpack(head)[0])
    except OSError:
        return None
    return None if data is None else json.loads(data)


async def read(reader: asyncio.StreamReader) -> Frame | None:
    """The next frame; None when the other side is gone."""
    try:
        head = await reader.readexactly(_LENGTH.size)
        return json.loads(await reader.readexactly(_LENGTH.unpack(head)[0]))
    except (asyncio.IncompleteReadError, OSError):
        return None
