"""Migrates a new SQLite database for the Prefect server and writes it, compacted, to the path given.

Each server of ours starts from a copy: the migrations take longer than the rest of a start, and tests start many servers.
"""

import asyncio
import sqlite3
import sys
from pathlib import Path

from prefect.server.database import provide_database_interface
from prefect.settings import PREFECT_HOME


async def main(target: Path) -> None:
    db = provide_database_interface()
    await db.create_db()
    engine = await db.engine()
    await engine.dispose()
    source = sqlite3.connect(PREFECT_HOME.value() / "prefect.db")
    # A plain copy of the file would miss what still sits in the write-ahead log.
    source.execute("VACUUM INTO ?", (str(target),))
    source.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
