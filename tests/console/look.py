"""``python -m tests.console.look PORT``: the console over a scene on SQLite, without signing in, to look at it.

Everybody is an admin. Stops with Ctrl-C, or after an hour.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from pathlib import Path

import uvicorn

from tests.console.ground import Ground
from tests.console.scene import Scene
from workers.store.database import Database
from workers.store.schema import upgrade

LONGEST_SECONDS = 3600


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'look.db'}"
        upgrade(url)
        ground = Ground(Scene(Database(url)))
        server = uvicorn.Server(uvicorn.Config(ground.application, port=int(sys.argv[1]), log_level="warning"))
        stop = threading.Timer(LONGEST_SECONDS, lambda: setattr(server, "should_exit", True))
        stop.daemon = True
        stop.start()
        server.run()


if __name__ == "__main__":
    main()
