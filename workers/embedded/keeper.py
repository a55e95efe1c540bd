"""Stops a home's Valkey once `invoices up` is gone: `python -m workers.embedded.keeper HOME`.

Its standard input is a pipe that `up` holds open and never writes to: it ends when `up` ends, however that dies.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> None:
    """Wait for the end of the pipe, then stop the server, if `up` has not done so."""
    while os.read(0, 4096):
        pass
    from workers.embedded.valkey import stop_valkey  # late, so that a keeper that only waits takes little memory

    stop_valkey(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
