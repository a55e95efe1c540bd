"""A RabbitMQ of a test's own, with quorum queues."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import kombu

from tests.certificates import write_certificates
from tests.redis_brokers import Broker, Embedded
from tests.servers import Server, closed_if_it_fails, free_port, wait_until


class RabbitMq(Broker):
    """RabbitMQ with quorum queues for messages; bells, rates and the stream are in a Valkey beside it."""

    speaks_redis = False

    def __init__(self, program: str, folder: Path, settings: str = "") -> None:
        """``settings`` is what rabbitmq's advanced.config holds: Erlang terms."""
        self.queue_arguments = {"x-queue-type": "quorum"}
        self.connection_options = {"connect_timeout": 60, "transport_options": {"confirm_publish": True}}
        self._stack = contextlib.ExitStack()
        self._program, self.folder, self.port = program, folder, free_port()
        self._beside = Embedded(folder / "beside")
        self._stack.callback(self._beside.close)
        self.redis = self._beside.redis
        self.broker_url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        self.settings = {"INVOICES_BROKER_URL": self.broker_url, "INVOICES_REDIS_URL": self._beside.redis_url}
        (folder / "plugins").write_text("[].")
        (folder / "rabbitmq.conf").write_text(self._listen_with_tls())
        (folder / "advanced.config").write_text(settings or "[].")
        self.environment = self._environment()
        # Erlang's own name server: RabbitMQ would leave one behind.
        names = Server(["epmd", "-port", self.environment["ERL_EPMD_PORT"]], folder / "names.log", self.environment)
        self._stack.callback(names.end)
        with closed_if_it_fails(self._stack):
            self._start()

    def _listen_with_tls(self) -> str:
        """Beside the plain way in."""
        port, files = free_port(), write_certificates(self.folder)
        self.tls_url = f"amqps://guest:guest@127.0.0.1:{port}//?ssl_ca_certs={files.ca}"
        return (
            f"listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.cacertfile = {files.ca}\n"
            f"ssl_options.certfile = {files.certificate}\nssl_options.keyfile = {files.key}\n"
        )

    def _environment(self) -> dict[str, str]:
        changes: dict[str, object] = {
            "HOME": self.folder,  # the Erlang cookie
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": free_port(),
            "RABBITMQ_NODENAME": "invoices@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": self.port,
            "RABBITMQ_DIST_PORT": free_port(),
            "RABBITMQ_MNESIA_BASE": self.folder / "data",
            "RABBITMQ_LOG_BASE": self.folder / "log",
            "RABBITMQ_ENABLED_PLUGINS_FILE": self.folder / "plugins",
            "RABBITMQ_CONFIG_FILE": self.folder / "rabbitmq",
            "RABBITMQ_ADVANCED_CONFIG_FILE": self.folder / "advanced.config",
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-start_epmd false",
            "RUNNING_UNDER_SYSTEMD": "true",  # the script becomes the server, so that the server's id is ours
        }
        return dict(os.environ) | {name: str(value) for name, value in changes.items()}

    def _start(self) -> None:
        self._process = Server([self._program], self.folder / "server.log", self.environment)
        self._stack.callback(self._process.end)
        wait_until(self._takes_connections, f"RabbitMQ answers; see {self.folder}")

    def _takes_connections(self) -> bool:
        assert self._process.runs(), f"RabbitMQ ended: {(self.folder / 'server.log').read_text()[-2000:]}"
        with kombu.Connection(self.broker_url, connect_timeout=20) as connection:
            try:
                connection.connect()
            except connection.connection_errors:
                return False
        return True

    def waiting(self, queue: str) -> int:
        """Messages that are ready."""
        with kombu.Connection(self.broker_url, **self.connection_options) as connection:
            try:
                found = connection.default_channel.queue_declare(queue, passive=True)
            except connection.channel_errors:  # nobody has declared it yet
                return 0
            return int(found.message_count)

    def held(self) -> int:
        """What the channels have delivered and not got acknowledged: asked of each of them, as the queue's own figure
        is up to five seconds old."""
        command = [
            str(Path(self._program).with_name("rabbitmqctl")),
            "--quiet",
            "list_channels",
            "messages_unacknowledged",
        ]
        told = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True, timeout=120)
        return sum(int(line) for line in told.stdout.split() if line.isdigit())

    def restart(self, how: signal.Signals = signal.SIGKILL) -> None:
        """On the same data and the same port."""
        self._process.end(how)
        self._start()

    def renew(self) -> None:
        """As if nobody had used it: without the queues of ours, and with an empty Valkey beside it."""
        if not self._process.runs():
            self._start()
        with kombu.Connection(self.broker_url, **self.connection_options) as connection:
            for queue in ("invoices.intake", "invoices.work"):
                connection.default_channel.queue_delete(queue)
        self.redis.flushall()

    def close(self) -> None:
        """Stop both."""
        self._stack.close()
