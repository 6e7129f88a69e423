"""What a message is to a flow, and how a value becomes one. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional, Union

Payload = Union[bytes, str, Mapping[str, Any], list[Any], int, float, bool, None]
Match = Union[None, Mapping[str, Any], Callable[["Message"], bool]]


@dataclass(frozen=True)
class Message:
    """A message as it was received.

    :ivar data: the payload, as it came
    :ivar sequence: its place in the stream; None for one that no stream has
    """

    subject: str
    data: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    stream: Optional[str] = None
    sequence: Optional[int] = None

    def json(self) -> Any:
        """The payload as JSON.

        :raises ValueError: it is none
        """
        return json.loads(self.data)


def encode(payload: Payload) -> bytes:
    """Bytes as they are, text as UTF-8, anything else as JSON.

    :raises TypeError: JSON cannot say it; the message names where
    """
    if isinstance(payload, bytes):
        return payload
    if isinstance(payload, str):
        return payload.encode()
    _check(payload, "payload")
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _check(value: Any, path: str) -> None:
    if value is None or isinstance(value, (str, bool, int)):
        return
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise TypeError(f"{path} is {value}, which JSON cannot say")
        return
    if isinstance(value, Mapping):
        for name, member in value.items():
            if not isinstance(name, str):
                raise TypeError(f"{path} has the key {name!r}, and JSON wants text; convert it before publishing")
            _check(member, f"{path}.{name}")
        return
    if isinstance(value, (list, tuple)):
        for index, member in enumerate(value):
            _check(member, f"{path}[{index}]")
        return
    raise TypeError(f"{path} is a {type(value).__name__}, which JSON cannot say; convert it before publishing")


def _contains(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(value, Mapping) and all(
            name in value and _contains(value[name], member) for name, member in wanted.items()
        )
    return bool(value == wanted)


def matches(message: Message, match: Match) -> bool:
    """Whether it is the message that is waited for: all members of a mapping are in it, or a function says so."""
    if match is None:
        return True
    if callable(match):
        return bool(match(message))
    try:
        return _contains(message.json(), match)
    except ValueError:
        return False
