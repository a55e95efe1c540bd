"""What the tests need of a broker, and those that speak Redis' protocol: embedded, one server, sentinels."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kombu
import redis
import redis.sentinel
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.certificates import write_certificates
from tests.servers import Server, closed_if_it_fails, free_port, wait_until
from workers.embedded.valkey import ensure_valkey, stop_valkey

#: A password that has to be escaped in an address, and may stand in no log.
PASSWORD = "pa/ss@w+rd%21"
ESCAPED = "pa%2Fss%40w%2Brd%2521"
MASTER = "invoices"
USERS_ACL = Path(__file__).resolve().parents[1] / "deploy/redis/users.acl"
NO_RETRY = Retry(NoBackoff(), 0)
#: Like the embedded Valkey's: what was written outlives a kill.
DURABLE = ("--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--maxmemory-policy", "noeviction")


class Broker:
    """What the acceptance tests need of a broker."""

    broker_url: str  #: for kombu
    redis: Any  #: a client of where bells, rates and the stream are
    settings: Mapping[str, str] = {}  #: for the processes
    connection_options: Mapping[str, Any] = {}  #: for bare kombu, besides the address
    queue_arguments: Mapping[str, str] | None = None  #: queues are declared with them
    speaks_redis = True  #: messages are items of lists that anybody may read and write

    def settings_of(self, who: str) -> Mapping[str, str]:
        """What differs for a kind of process that has a user of its own here."""
        return {}

    def waiting(self, queue: str) -> int:
        """Messages that nobody has in hand; in Redis those in the lists of the queue's priorities too."""
        return sum(int(self.redis.llen(key)) for key in self.redis.keys(f"{queue}*"))

    def held(self) -> int:
        """Messages handed out and not acknowledged."""
        return int(self.redis.hlen("invoices.unacked"))

    def empty(self, queue: str) -> None:
        """Throw away what waits there."""
        with kombu.Connection(self.broker_url, **self.connection_options) as connection:
            connection.default_channel.queue_purge(queue)

    def restart(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End the server and start it again on its data; behind sentinels another one takes its place meanwhile."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop what was started."""
        raise NotImplementedError


class Embedded(Broker):
    """The Valkey of a home folder: what there is without any setting."""

    def __init__(self, home: Path) -> None:
        self._home = home
        where = ensure_valkey(home)
        self.broker_url, self.redis_url = where.broker_url, where.redis_url
        self.redis = redis.Redis.from_url(where.redis_url)

    def restart(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Ended by its id, found again by everybody."""
        pid = int(self.redis.info("server")["process_id"])
        os.kill(pid, how)
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the broker has ended")
        ensure_valkey(self._home)

    def close(self) -> None:
        """Stop it."""
        self.redis.close()
        stop_valkey(self._home)


class RedisServer(Broker):
    """One server on a port of its own; ``tls``: with certificates of our own and a password, and no other way in."""

    def __init__(self, program: str, folder: Path, *, tls: bool = False) -> None:
        self._stack = contextlib.ExitStack()
        port = free_port()
        self._command = [program, "--bind", "127.0.0.1", "--dir", str(folder), *DURABLE]
        self.broker_url = f"redis://127.0.0.1:{port}/1"
        if tls:
            files = write_certificates(folder)
            self.broker_url = f"rediss://:{ESCAPED}@127.0.0.1:{port}/1?ssl_cert_reqs=required&ssl_ca_certs={files.ca}"
            self._command += ["--port", "0", "--tls-port", str(port), "--requirepass", PASSWORD]
            self._command += ["--tls-auth-clients", "no", "--tls-ca-cert-file", str(files.ca)]
            self._command += ["--tls-cert-file", str(files.certificate), "--tls-key-file", str(files.key)]
        else:
            self._command += ["--port", str(port)]
        self.settings = {"INVOICES_BROKER_URL": self.broker_url}
        self.redis = self._stack.enter_context(redis.Redis.from_url(self.broker_url))
        self._log = folder / "redis.log"
        with closed_if_it_fails(self._stack):
            self._start()

    def _start(self) -> None:
        self._process = Server(self._command, self._log)
        self._stack.callback(self._process.end)
        wait_until(lambda: answers(self.redis) or self._ended(), f"{self._command[0]} answers; see {self._log}")

    def _ended(self) -> bool:
        assert self._process.runs(), f"{self._command[0]} has ended: {self._log.read_text()[-500:]}"
        return False

    def restart(self, how: signal.Signals = signal.SIGKILL) -> None:
        """On the same data and the same port."""
        self._process.end(how)
        self._start()

    def close(self) -> None:
        """Stop it."""
        self._stack.close()


class UsersServer(RedisServer):
    """One whose users are those of deploy/redis/users.acl, each kind of process being one of them."""

    users: Mapping[str, str] = {
        "intake": "invoices_intake",
        "worker": "invoices_worker",
        "web": "invoices_web",
        "people": "invoices_web",
        "beat": "invoices_beat",
        "reader": "invoices_reader",
    }

    def __init__(self, program: str, folder: Path) -> None:
        super().__init__(program, folder)
        self.passwords: dict[str, str] = {}  #: that differ from the file's, by who has them
        self.plain_url = self.broker_url.removesuffix("/1") + "/0"  # the file names a channel of this database
        for user in filter(None, USERS_ACL.read_text().splitlines()):
            if not user.startswith(("#", "user default")):
                self.redis.execute_command("ACL", "SETUSER", *user.split()[1:])
        self.broker_url = self._url_of("admin", "ADMIN_PASSWORD")
        self.settings = {"INVOICES_BROKER_URL": self.broker_url}
        self.redis.close()
        self.redis = redis.Redis.from_url(self.broker_url)
        self.redis.execute_command("ACL", "SETUSER", "default", "off")
        self.redis.execute_command("ACL", "LOG", "RESET")

    def settings_of(self, who: str) -> Mapping[str, str]:
        return {"INVOICES_BROKER_URL": self.url_of(who)} if who in self.users else {}

    def url_of(self, who: str) -> str:
        """The server's address for a kind of process."""
        user = self.users[who]
        return self._url_of(user, self.passwords.get(who) or f"{user.removeprefix('invoices_').upper()}_PASSWORD")

    def _url_of(self, user: str, password: str) -> str:
        return self.plain_url.replace("redis://", f"redis://{user}:{password}@")

    def refused(self) -> list[str]:
        """What the server refused to anybody since its start: user, reason and object."""
        found: list[dict[str, str]] = self.redis.acl_log()
        return sorted({f"{one['username']}: {one['reason']} {one['object']}" for one in found})


class Sentinels(Broker):
    """A master, two replicas and three sentinels that watch them; servers have a password, sentinels another."""

    sentinel_password = "watch-word"

    def __init__(self, program: str, folder: Path) -> None:
        self._stack = contextlib.ExitStack()
        self._program, self._folder = program, folder
        self.servers: dict[int, Server] = {}
        with closed_if_it_fails(self._stack):
            self._start()

    def _start(self) -> None:
        ports = [free_port() for _ in range(3)]
        for place, port in enumerate(ports):
            self.start_server(port, None if place == 0 else ports[0])
        wait_until(lambda: all(_linked(self._server(port)) for port in ports[1:]), "the replicas follow the master")
        self.sentinel_ports = [self._start_sentinel(ports[0]) for _ in range(3)]
        self._sentinel = redis.sentinel.Sentinel(
            [("127.0.0.1", port) for port in self.sentinel_ports],
            sentinel_kwargs={"password": self.sentinel_password, "socket_timeout": 2},
        )
        self._stack.callback(self._close_sentinels)
        for port in self.sentinel_ports:
            wait_until(functools.partial(self._knows_all, port), "each sentinel knows all the others")
        hosts = [f"sentinel://:{ESCAPED}@127.0.0.1:{port}/1" for port in self.sentinel_ports]
        self.broker_url = ";".join(hosts)
        last = f"{hosts[-1]}?master_name={MASTER}&sentinel_password={self.sentinel_password}"
        self.settings = {"INVOICES_BROKER_URL": ";".join([*hosts[:-1], last])}
        self.connection_options = {
            "transport_options": {"master_name": MASTER, "sentinel_kwargs": {"password": self.sentinel_password}}
        }
        self.redis = self._sentinel.master_for(MASTER, password=PASSWORD, db=1)

    def start_server(self, port: int, master: int | None) -> None:
        """A Redis server; one with a master follows it."""
        folder = self._folder / str(port)
        folder.mkdir(exist_ok=True)
        command = [self._program, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), *DURABLE]
        command += ["--requirepass", PASSWORD, "--masterauth", PASSWORD, "--repl-diskless-sync-delay", "0"]
        if master is not None:
            command += ["--replicaof", f"127.0.0.1 {master}"]
        self.servers[port] = server = Server(command, folder / "log")
        self._stack.callback(server.end)
        wait_until(lambda: answers(self._server(port)), f"the server answers; see {folder / 'log'}")

    def _start_sentinel(self, master: int) -> int:
        port = free_port()
        folder = self._folder / f"sentinel-{port}"
        folder.mkdir()
        settings = folder / "sentinel.conf"
        settings.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {folder}\nrequirepass {self.sentinel_password}\n"
            f"sentinel sentinel-pass {self.sentinel_password}\n"
            f"sentinel monitor {MASTER} 127.0.0.1 {master} 2\nsentinel auth-pass {MASTER} {PASSWORD}\n"
            # Long enough that a master on a busy machine is not taken for dead.
            f"sentinel down-after-milliseconds {MASTER} 5000\nsentinel failover-timeout {MASTER} 5000\n"
        )
        server = Server([self._program, str(settings), "--sentinel"], folder / "log")
        self._stack.callback(server.end)
        return port

    def _server(self, port: int) -> redis.Redis:
        return redis.Redis(port=port, password=PASSWORD, socket_timeout=2, retry=NO_RETRY)

    def _knows_all(self, port: int) -> bool:
        with redis.Redis(port=port, password=self.sentinel_password, socket_timeout=2, retry=NO_RETRY) as client:
            try:
                found = client.sentinel_master(MASTER)
            except redis.RedisError:
                return False
            return bool(found["num-slaves"] == 2 and found["num-other-sentinels"] == 2)

    def _close_sentinels(self) -> None:
        for client in self._sentinel.sentinels:
            client.close()

    def master_port(self) -> int:
        """Who the sentinels say is the master."""
        return int(self._sentinel.discover_master(MASTER)[1])

    def cut_off_replicas(self) -> None:
        """From now on they get nothing from the master, as if a network lay between; until it has ended."""
        master = self.master_port()
        for port in self.servers.keys() - {master}:
            self.servers[port].send(signal.SIGSTOP)
        with self._server(master) as client:
            client.client_kill_filter(_type="replica")

    def restart(self, how: signal.Signals = signal.SIGKILL) -> None:
        """The master ends; a replica takes its place, and it comes back as one."""
        former = self.master_port()
        self.servers[former].end(how)
        for port in self.servers.keys() - {former}:
            self.servers[port].send(signal.SIGCONT)
        wait_until(lambda: self.new_master(former), "another one is the master")
        wait_until(lambda: self._all_name(self.master_port()), "all sentinels say so")  # whichever is asked
        self.start_server(former, self.master_port())

    def new_master(self, former: int) -> bool:
        """Whether there is a master again, and it can be written to."""
        try:
            return self.master_port() != former and bool(self.redis.set("written", "1"))
        except redis.RedisError:
            return False

    def _all_name(self, port: int) -> bool:
        """Whether each sentinel says that this one is the master."""
        said: list[Any] = [client.sentinel_master(MASTER) for client in self._sentinel.sentinels]
        return all(found["port"] == port for found in said)

    def close(self) -> None:
        """Stop all of them."""
        self.redis.close()
        self._stack.close()


def answers(client: redis.Redis) -> bool:
    """Whether a server takes commands."""
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def _linked(client: redis.Redis) -> bool:
    with client:
        return bool(client.info("replication").get("master_link_status") == "up")
