"""`python -m host --flows DIR`: the flow host's process."""

from __future__ import annotations

import asyncio
import os
import sys

from .config import ConfigError, load
from .log import Log


def main() -> int:
    log = Log(os.environ.get("MILLRACE_LOG_LEVEL") or "info", name="flow-host")
    try:
        config = load(sys.argv[1:], os.environ)
        from .host import Host

        asyncio.run(Host(config, log).run())
    except ConfigError as error:
        log.error(str(error))
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
