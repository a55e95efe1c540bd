"""What the sandbox's tests ask of it: each provider's calls, the control address, a bare socket."""

from __future__ import annotations

import json
import re
import socket
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from urllib.parse import quote
from uuid import uuid4

NEBULOX_KEY, ZEROXHOST_KEY = "sandbox-nebulox-key", "sandbox-zeroxhost-key"
CREATE_PATHS = {"nebulox": "/nebulox/api/invoice/create", "zeroxhost": "/zeroxhost/API/invoice"}


def send(url, body=None, *, method=None, headers=None):
    """(status, body text, headers) of one exchange; `body` is bytes, or an object to write as JSON."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers


def ask(url, body=None, *, method=None, headers=None):
    status, text, _ = send(url, body, method=method, headers=headers)
    return status, json.loads(text) if text else None


def new_id(text="") -> str:
    return f"order-{uuid4().hex[:12]}{text}"


def create_nebulox(sandbox, order_id, **fields):
    body = {"apiKey": NEBULOX_KEY, "price": "100", "orderId": order_id, **fields}
    return ask(sandbox.nebulox_url + "/api/invoice/create", {k: v for k, v in body.items() if v is not None})


def create_zeroxhost(sandbox, user_id, key=ZEROXHOST_KEY, **fields):
    body = {"user_id": user_id, **(fields or {"server_id": "server12345"})}
    return ask(sandbox.zeroxhost_url + "/API/invoice", body, headers={"x-api-key": key})


def look_up(sandbox, track_id):
    url = f"{sandbox.zeroxhost_url}/API/get_transation_by_track_id?track_id={track_id}"
    return ask(url, headers={"x-api-key": ZEROXHOST_KEY})


def control(sandbox, path, body=None, method=None):
    return ask(f"{sandbox.control_url}/{path}", body, method=method)


def calls_of(sandbox, order_id):
    return control(sandbox, f"calls?order_id={quote(order_id)}")[1]["calls"]


def made_for(sandbox, order_id, provider):
    answer = control(sandbox, f"invoices?order_id={quote(order_id)}")[1]
    return answer["created"][provider].get(order_id, 0)


def wait_until(check, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = check()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("did not happen in time")


def look_up_when(sandbox, track_id, word):
    row = look_up(sandbox, track_id)[1]["data"]
    return row if row["status"].lower() == word else None


def find(pattern, text):
    """The pattern's first group in the text."""
    match = re.search(pattern, text)
    assert match is not None
    return match[1]


@contextmanager
def raw_create(sandbox, provider, order_id):
    """A bare socket over which a create was sent."""
    host, port = sandbox.url.removeprefix("http://").split(":")
    fields = {"apiKey": NEBULOX_KEY, "price": "1", "orderId": order_id, "user_id": order_id, "server_id": "s"}
    body = json.dumps(fields).encode()
    head = f"POST {CREATE_PATHS[provider]} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {ZEROXHOST_KEY}\r\n"
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        yield connection


def read_all(connection) -> bytes:
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def answer_of(sandbox, provider, order_id):
    """(status line's code, head, body) of a create, read to the end of the connection."""
    with raw_create(sandbox, provider, order_id) as connection:
        head, _, body = read_all(connection).partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), head.decode().lower(), body
