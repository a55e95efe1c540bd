"""`invoices web` as a process over real sockets: it listens, bounds what clients may do to it, and stops gracefully."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess

import pytest

from tests.contracts.web_process import COMMAND, Web, ask
from tests.servers import wait_until
from workers.embedded.valkey import stop_valkey
from workers.store.schema import upgrade
from workers.web import server


@pytest.fixture
def open_web(tmp_path):
    opened = []

    def open_one(*, cold=False, **settings):
        opened.append(Web(tmp_path, cold=cold, **settings))
        return opened[-1]

    yield open_one
    for web in opened:
        web.process.end()
    stop_valkey(tmp_path)


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    """A process for all tests that leave it as it is."""
    home = tmp_path_factory.mktemp("web")
    web = Web(home)
    yield web
    web.process.end()
    stop_valkey(home)


def test_it_says_where_it_listens_and_that_it_is_ready_and_ends_with_0(open_web):
    web = open_web(cold=True)

    assert [line["url"] for line in web.lines("web.listening")] == [web.url]
    assert ask(f"{web.url}/health/live") == (200, {"status": "ok", "parts": {"web": "ok"}})
    # No worker runs, and the web process is ready all the same.
    parts = {"database": "ok", "redis": "ok", "business": "STALLED"}
    assert ask(f"{web.url}/health/ready") == (200, {"status": "ok", "parts": parts})
    web.process.send(signal.SIGTERM)
    wait_until(lambda: not web.process.runs(), "it has ended")
    assert web.process._process.returncode == 0


def test_it_is_not_ready_without_its_tables_and_alive_all_the_same(open_web, tmp_path):
    bare = f"sqlite+pysqlite:///{tmp_path}/bare.db"
    key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
    web = open_web(INVOICES_DATABASE_URL=bare, INVOICES_SECRET_KEY=key)

    assert ask(f"{web.url}/health/live")[0] == 200
    status, body = ask(f"{web.url}/health/ready")
    assert (status, "run `invoices migrate`" in body["parts"]["database"]) == (503, True)
    upgrade(bare)
    wait_until(lambda: ask(f"{web.url}/health/ready")[0] == 200, "it is ready once the tables are there")


def test_headers_that_trickle_in_and_connections_without_a_request_are_closed(web):
    with web.connect() as silent, web.connect() as trickling, web.connect() as kept:
        trickling.sendall(b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a")
        request = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        kept.sendall(request)
        answer = b""
        while b'"ok"' not in answer:
            answer += kept.recv(65536)
        kept.sendall(b"GET /health/live HTTP/1.1\r\n")  # the second request of a kept connection stalls too
        for one in (silent, trickling, kept):  # waits until the server closes; a time-out fails the test
            assert one.recv(65536) == b""


def test_headers_beyond_the_bound_are_refused(web):
    with web.connect() as one:
        one.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * (2 * server.HEADER_BYTES))
        assert one.recv(65536).startswith(b"HTTP/1.1 400")
    with web.connect() as one:
        one.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: y\r\n" * server.HEADER_BYTES + b"\r\n")
        assert one.recv(65536).startswith(b"HTTP/1.1 400")


LIVE = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /health/live HTTP/1.1\r\n\r\n",
        LIVE + b"Host: evil.example\r\n\r\n",
        LIVE + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        LIVE + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        LIVE + b"Content-Length: -1\r\n\r\n",
        LIVE + b"Transfer-Encoding: gzip\r\n\r\n",
        LIVE + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        LIVE + b" folded: x\r\n\r\n",
        LIVE + b"X: a\0b\r\n\r\n",
        LIVE.replace(b"\r\n", b"\n") + b"\n",
        LIVE.replace(b"/health/live", "/ä".encode()) + b"\r\n",
        LIVE.replace(b"HTTP/1.1", b"HTTP/9.9") + b"\r\n",
    ],
)
def test_what_a_proxy_may_understand_otherwise_is_refused(web, request_bytes):
    with web.connect() as one:
        one.sendall(request_bytes)
        answer = b"".join(iter(lambda: one.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_a_request_behind_another_is_answered_in_its_turn_and_garbage_there_by_nothing(web):
    with web.connect() as one:
        one.sendall(LIVE + b"\r\n" + LIVE + b"\r\n")
        answers = b""
        while answers.count(b'"ok"') < 2:
            answers += one.recv(65536)
    with web.connect() as one:
        one.sendall(LIVE + b"\r\n" + b"no request\r\n\r\n")
        assert b" 400 " not in b"".join(iter(lambda: one.recv(65536), b""))


def test_trailers_have_the_bound_of_headers_and_are_not_taken_for_them(web):
    chunked = LIVE.replace(b"GET", b"POST") + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"

    with web.connect() as one:
        one.sendall(chunked + b"Host: evil.example\r\n\r\n")
        assert one.recv(65536).startswith(b"HTTP/1.1 405 ")
    with web.connect() as one, contextlib.suppress(ConnectionError):
        one.sendall(chunked)
        for _ in range(2000):
            one.sendall(b"X: " + b"y" * server.HEADER_BYTES)
        pytest.fail("endless trailers were read")


def test_what_is_no_http_is_answered_with_a_problem_and_closed(web):
    with web.connect() as one:
        one.sendall(b"GET /health/live HTTP/1.1\r\nno colon\r\n\r\n")
        head, _, body = b"".join(iter(lambda: one.recv(65536), b"")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"content-type: application/problem+json" in head.lower()
    assert b"connection: close" in head.lower()
    assert json.loads(body) == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "Invalid HTTP request received.",
    }


@pytest.mark.parametrize("megabytes", [5, 10])
def test_a_client_that_sends_all_of_a_body_that_is_too_large_reads_its_answer(web, megabytes):
    """Most clients read nothing before they have sent everything: they must not find the connection reset."""
    size = megabytes << 20
    with web.connect() as one:
        one.sendall(f"POST /callbacks/shop HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {size}\r\n\r\n".encode())
        for _ in range(megabytes):
            one.sendall(b"x" * (1 << 20))
        assert b"".join(iter(lambda: one.recv(65536), b"")).startswith(b"HTTP/1.1 413 ")


def test_one_that_sends_without_end_is_cut_off(web):
    with web.connect() as one, contextlib.suppress(ConnectionError):
        one.sendall(b"POST /callbacks/shop HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000000\r\n\r\n")
        for _ in range(server.LINGER_BYTES // 65536 + 1000):
            one.sendall(b"x" * 65536)
        pytest.fail("all of it was read")


def test_a_port_that_is_taken_is_one_line_that_names_the_setting(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("INVOICES_")}
        environment |= {"INVOICES_HOME": str(tmp_path), "INVOICES_WEB_PORT": str(port)}
        done = subprocess.run(COMMAND, env=environment, capture_output=True, check=False, timeout=180, text=True)

    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"invoices: INVOICES_WEB_PORT: can't listen on port {port} of 127.0.0.1: Address already in use"
    ]
