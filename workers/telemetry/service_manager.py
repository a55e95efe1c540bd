"""What systemd is told of this process (``Type=notify``): that it serves, that it is alive, that it stops.

The protocol is sd_notify(3): a datagram of ``NAME=value`` lines to the socket that NOTIFY_SOCKET names. Without that
variable nobody is told anything.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import socket
import threading
from collections.abc import Callable, MutableMapping, Sequence

import structlog

log = structlog.get_logger()

#: Between two signs of life where systemd has not said how often it wants them.
START_SECONDS = 15.0
#: After a look that found a loop stuck: the next sign of life must not come late once it goes on.
STUCK_SECONDS = 1.0

#: Names the loops of this process that don't go on; may take a few seconds.
Stuck = Callable[[], Sequence[str]]


class ServiceManager:
    """Tells it from any thread, and never waits. Harmless without one."""

    def __init__(self, address: str | None = None, watchdog_seconds: float | None = None) -> None:
        self._address = "\0" + address[1:] if address is not None and address.startswith("@") else address
        self._watchdog_seconds = watchdog_seconds
        self._is_ready = self._is_stopping = False
        self._watching: threading.Thread | None = None
        self._closing = threading.Event()
        self._socket = None if address is None else socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def watch(self, stuck: Stuck) -> None:
        """Give signs of life from now on, in a thread of its own, as long as no loop is stuck.

        Until the process is ready they only ask for patience: a database or broker that is away may take its time.
        """
        if self._socket is not None and self._watching is None:
            self._watching = threading.Thread(target=self._watch, args=(stuck,), name="watchdog", daemon=True)
            self._watching.start()

    def ready(self, role: str) -> None:
        """The process serves."""
        if not self._is_ready and not self._is_stopping:
            self._is_ready = True
            self._tell("READY=1", f"STATUS={role}: ready", *self._sign_of_life())

    def stopping(self) -> None:
        """The process takes nothing new. For signal handlers, too."""
        if not self._is_stopping:
            self._is_stopping = True
            self._tell("STOPPING=1", "STATUS=finishes what is under way")

    def close(self) -> None:
        """Tell nothing more. A process that ends need not."""
        self._closing.set()
        if self._watching is not None:
            self._watching.join()
        if self._socket is not None:
            self._socket.close()

    def _watch(self, stuck: Stuck) -> None:
        seconds, said = (self._watchdog_seconds or 2 * START_SECONDS) / 2, False
        while not self._closing.is_set():
            loops = stuck()
            if not loops:
                self._tell(*self._sign_of_life(), *(["STATUS=goes on again"] if said else []))
            elif not said:
                log.warning("process.stuck", loops=list(loops), consequence="systemd gets no sign of life")
                self._tell(f"STATUS=stuck: {', '.join(loops)}")
            said = bool(loops)
            self._closing.wait(min(STUCK_SECONDS, seconds) if loops else seconds)

    def _sign_of_life(self) -> Sequence[str]:
        if not self._is_ready and not self._is_stopping:
            return [f"EXTEND_TIMEOUT_USEC={int(2_000_000 * (self._watchdog_seconds or 2 * START_SECONDS))}"]
        return [] if self._watchdog_seconds is None else ["WATCHDOG=1"]

    def _tell(self, *lines: str) -> None:
        if self._socket is None or self._address is None or not lines:
            return
        # A manager that is away or has no room gets the next one.
        with contextlib.suppress(OSError):
            self._socket.sendto("\n".join(lines).encode(), socket.MSG_DONTWAIT, self._address)


def open_service_manager(environ: MutableMapping[str, str]) -> ServiceManager:
    """The one that started this process, if one did. Its variables are removed: our own children don't speak for us."""
    address = environ.pop("NOTIFY_SOCKET", "")
    usec, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
    if not address.startswith(("/", "@")):
        return ServiceManager()
    faulthandler.enable()  # a process that gives no sign of life gets SIGABRT: where it was stuck is then logged
    is_watched = usec.isdecimal() and int(usec) > 0 and pid in {"", str(os.getpid())}
    return ServiceManager(address, int(usec) / 1_000_000 if is_watched else None)
