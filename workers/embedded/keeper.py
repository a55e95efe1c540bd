"""Stops a home's Valkey once `invoices up` is gone: `python -m workers.embedded.keeper HOME`.

Its standard input is a pipe that `up` holds open and never writes to: it ends when `up` ends, however that dies.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> None:
    """Wait for the end of the pipe, then stop the server; it is no error that `up` has stopped it already."""
    while os.read(0, 4096):
        pass
    from workers.embedded.valkey import stop_valkey  # not before: most of the time nothing but the wait is needed

    stop_valkey(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
