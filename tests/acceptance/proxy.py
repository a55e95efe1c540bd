"""A TCP door in front of a server, to be shut: connections refused and cut, kept open without a word, or slow."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from types import TracebackType

BYTES = 65536


class Door:
    """Forwards `host`:`port` to ``target``: a (host, port), or the path of a Unix socket; set before first use."""

    def __init__(self, target: tuple[str, int] | str = "", host: str = "127.0.0.1") -> None:
        self.target = target
        self.host = host
        self.port = 0
        self.delay_seconds = 0.0  #: of each piece of data, each way
        self._listener: socket.socket | None = None
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._asking = threading.Event()  #: set: what clients say gets through
        self._answering = threading.Event()  #: set: what the server says gets through

    def __enter__(self) -> Door:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pass()
        self.shut()

    def open(self) -> None:
        """Let everything through (again), at the same port as before."""
        if self._listener is None:
            self._listener = socket.create_server((self.host, self.port))
            self.port = self._listener.getsockname()[1]
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        self.delay_seconds = 0.0
        self._pass()

    def shut(self) -> None:
        """Refuse new connections and cut the others."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
            listener.close()
        with self._lock:
            for one in self._sockets:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def stall(self) -> None:
        """Take connections and bytes, and answer nothing until it is open again."""
        self._asking.clear()
        self._answering.clear()

    def halve(self) -> None:
        """Let through what clients say, and no answer until it is open again; shut it first, and they are lost."""
        self._answering.clear()

    def _pass(self) -> None:
        self._asking.set()
        self._answering.set()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = self._connect()
            except OSError:
                client.close()
                continue
            with self._lock:
                self._sockets |= {client, server}
            for way in ((client, server, self._asking), (server, client, self._answering)):
                threading.Thread(target=self._forward, args=way, daemon=True).start()

    def _connect(self) -> socket.socket:
        if not isinstance(self.target, str):
            return socket.create_connection(self.target, timeout=None)
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(self.target)
        except OSError:
            server.close()
            raise
        return server

    def _forward(self, source: socket.socket, sink: socket.socket, passing: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(BYTES):
                if self.delay_seconds:
                    time.sleep(self.delay_seconds)
                passing.wait()
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._sockets -= {source, sink}
        source.close()  # each direction closes its own source: nobody else reads from it
