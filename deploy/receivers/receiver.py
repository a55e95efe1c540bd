"""Receives invoice events behind your TLS proxy. Needs the package standardwebhooks and WEBHOOK_SECRET=whsec_…"""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

from standardwebhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["WEBHOOK_SECRET"])
handled = {}  # last sequence by invoice; keep it in your database, written in one transaction with what handle() does
lock = Lock()


def handle(event):
    """Store what the event says and return at once; do slow work later. What raises here is sent again."""
    print(event["type"], event.get("subject"), event["data"].get("order_id"), flush=True)


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10  # seconds that a silent connection is kept

    def do_POST(self):
        try:
            size = int(self.headers.get("content-length", ""))
            body = self.rfile.read(size) if 0 <= size <= 65_536 else b""  # the raw bytes: they are what is signed
            event = webhook.verify(body, dict(self.headers))  # signature, and at most 5 minutes old or ahead
        except (WebhookVerificationError, ValueError):  # ValueError: headers or body that are garbage
            return self.answer(400)
        with lock:
            # Without a sequence (system.restored, invoices.test) an event is known by its id
            key, number = (event["subject"], int(event["sequence"])) if "sequence" in event else (event["id"], 1)
            if number > handled.get(key, 0):  # otherwise it is a repeat, handled already
                handle(event)
                handled[key] = number
        return self.answer(200)

    def answer(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        if status != 200:
            self.send_header("connection", "close")  # part of the body may be unread
        self.end_headers()


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8080"))), Receiver)
    print(f"receiving on http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()
