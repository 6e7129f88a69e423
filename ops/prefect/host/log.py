"""One JSON object per line on stderr, with the fields pino writes."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

_LEVELS = {"trace": 10, "debug": 20, "info": 30, "warn": 40, "error": 50, "fatal": 60, "silent": 70}


class Log:
    """A logger with fields of its own; `child` adds more."""

    def __init__(self, level: str = "info", **fields: Any) -> None:
        self._threshold = _LEVELS.get(level, 30)
        self._level = level
        self._fields = fields

    def child(self, **fields: Any) -> "Log":
        return Log(self._level, **{**self._fields, **fields})

    def debug(self, msg: str, **fields: Any) -> None:
        self._write("debug", msg, fields)

    def info(self, msg: str, **fields: Any) -> None:
        self._write("info", msg, fields)

    def warn(self, msg: str, **fields: Any) -> None:
        self._write("warn", msg, fields)

    def error(self, msg: str, **fields: Any) -> None:
        self._write("error", msg, fields)

    def _write(self, level: str, msg: str, fields: dict[str, Any]) -> None:
        if _LEVELS[level] < self._threshold:
            return
        line = {"level": level, "time": int(time.time() * 1000), "pid": os.getpid(), **self._fields, **fields, "msg": msg}
        print(json.dumps(line, default=str), file=sys.stderr, flush=True)
