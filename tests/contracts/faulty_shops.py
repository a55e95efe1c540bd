"""Receivers of webhooks, each with one fault, and a server to run them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

from workers.delivery.signature import new_secret

SECRET = new_secret()


class Shop:
    """A right receiver, until a test overrides what it does wrong. ``answer`` gives status, headers and body."""

    tolerance_seconds = 300

    def __init__(self) -> None:
        self.webhook = Webhook(SECRET)
        self.seen: set[str] = set()
        self.last: dict[str, int] = {}
        self.paths: list[str] = []
        self.released = threading.Event()  # set at the end: whoever dawdles stops

    def answer(self, headers, body):
        try:
            self.verify(headers, body)
        except (WebhookVerificationError, ValueError):
            return self.refuse()
        return self.take(headers["webhook-id"], json.loads(body))

    def verify(self, headers, body):
        self.webhook.verify(body, headers)

    def refuse(self):
        return 401, {}, b""

    def take(self, event_id, event):
        return 204, {}, b""


class AcceptsAnything(Shop):
    def verify(self, headers, body):
        pass


class RefusesRepeats(Shop):
    def take(self, event_id, event):
        repeated = event_id in self.seen
        self.seen.add(event_id)
        return 409 if repeated else 200, {}, b""


class ChecksNoTime(Shop):
    def verify(self, headers, body):
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        signatures = [sent.removeprefix("v1,") for sent in headers.get("webhook-signature", "").split(" ")]
        if hmac_of(signed) not in signatures:
            raise WebhookVerificationError


class ReadsTheFirstSignatureOnly(Shop):
    def verify(self, headers, body):
        super().verify(headers | {"webhook-signature": headers.get("webhook-signature", "").split(" ")[0]}, body)


class VerifiesWhatItParsed(Shop):
    def verify(self, headers, body):
        again = json.dumps(json.loads(body), separators=(",", ":"), ensure_ascii=False)
        super().verify(headers, again.encode())


class TakesSmallBodiesOnly(Shop):
    def answer(self, headers, body):
        return (413, {}, b"") if len(body) > 8192 else super().answer(headers, body)


class NeedsEverySequence(Shop):
    def take(self, event_id, event):
        subject = event.get("subject", "")
        number, last = int(event.get("sequence", 0)), self.last.get(subject, 0)
        self.last[subject] = max(last, number)
        return 425 if number > last + 1 else 200, {}, b""


class KnowsItsTypesOnly(Shop):
    def take(self, event_id, event):
        return 422 if event["type"] == "invoice.receiver_check" else 200, {}, b""


class NeedsASequence(Shop):
    def take(self, event_id, event):
        return 500 if "sequence" not in event else 200, {}, b""


class NeedsASubject(Shop):
    def take(self, event_id, event):
        return 200 if "subject" in event else 500, {}, b""


class CatchesOneErrorOnly(Shop):
    def verify(self, headers, body):
        try:
            super().verify(headers, body)
        except ValueError:
            raise LookupError from None

    def answer(self, headers, body):
        try:
            return super().answer(headers, body)
        except LookupError:
            return 500, {}, b""


class SendsStrangersToALogin(Shop):
    def refuse(self):
        return 302, {"location": "/login"}, b""


class SaysGoneToStrangers(Shop):
    def refuse(self):
        return 410, {}, b""


class Talks(Shop):
    def take(self, event_id, event):
        return 200, {}, b"thanks " * 1000


class Redirects(Shop):
    def answer(self, headers, body):
        return 308, {"location": "/elsewhere"}, b""


class HasAnotherSecret(Shop):
    def __init__(self) -> None:
        super().__init__()
        self.webhook = Webhook(new_secret())


class LooksTheOrderUp(Shop):
    def take(self, event_id, event):
        return 404, {}, b""


class DawdlesOnce(Shop):
    def take(self, event_id, event):
        if event["type"] == "invoice.receiver_check":
            self.released.wait(20)
        return 200, {}, b""


class DawdlesOverStrangers(Shop):
    def refuse(self):
        self.released.wait(20)
        return super().refuse()


def hmac_of(signed):
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


class Server(ThreadingHTTPServer):
    def handle_error(self, *_):
        """The sender hung up on a dawdler: that is what those tests are about."""


@contextmanager
def open_shop(shop):
    """Serves the shop on loopback; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            shop.paths.append(self.path)
            body = self.rfile.read(int(self.headers["content-length"]))
            status, headers, answer = shop.answer({name.lower(): value for name, value in self.headers.items()}, body)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook"
    finally:
        shop.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
