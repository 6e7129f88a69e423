"""Prefect's server application on SQLite, with transactions that wait for one another instead of failing.

Prefect begins most transactions DEFERRED: they start as readers and become writers at their first write. When somebody
else has written in between, SQLite refuses at once ("database is locked", whatever the busy timeout), Prefect answers
503, and its clients try again after seconds. An IMMEDIATE transaction takes the write lock first and waits for it.
"""

from __future__ import annotations

import gc
from contextlib import AbstractAsyncContextManager
from typing import Any

from prefect.server.api.server import create_app as create_prefect_app
from prefect.server.database.configurations import AioSqliteConfiguration

_begin = AioSqliteConfiguration.begin_transaction


def _begin_immediate(
    self: AioSqliteConfiguration, session: Any, with_for_update: bool = False
) -> AbstractAsyncContextManager[Any]:
    return _begin(self, session, with_for_update=True)


AioSqliteConfiguration.begin_transaction = _begin_immediate  # type: ignore[method-assign]


def create_app() -> Any:
    """Prefect's application, loaded once and for all: no garbage collection has to walk through its modules again."""
    app = create_prefect_app()
    gc.collect()
    gc.freeze()
    return app


__all__ = ["create_app"]
