"""A webhook receiver that checks everything: signature, age, repeats, and the order of each subject's events."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web

from workers.embedded.sandbox.control import answering
from workers.embedded.sandbox.wire import (
    InputError,
    RawJSON,
    parse_object,
    read_bytes,
    read_object,
    refuse_unknown,
    take_flag,
    take_number,
    take_text,
    take_whole,
    write_json,
)

#: How old a signature may be, or how far ahead of this clock (Standard Webhooks leaves that to the receiver).
TOLERANCE_SECONDS = 300

#: How much a receiver remembers: ids, to see repeats; subjects, to see the order; bytes of envelopes, to show.
MAX_IDS, MAX_SUBJECTS, MAX_ENVELOPE_BYTES = 200_000, 200_000, 64 * 1024 * 1024
MAX_RECEIVERS, MAX_SECRETS, MAX_NOTES, MAX_TYPES, MAX_FAULTS = 1_000, 10, 20, 200, 100


FAULT_FIELDS = ("status", "times", "delay_seconds", "retry_after", "keep", "once")


@dataclass(slots=True)
class ReceiverFault:
    """How to answer: after `delay_seconds`, with `status`. With `keep` the event is kept all the same; with `once` one
    that had such an answer is taken when it comes again."""

    status: int | None
    times: int | None
    delay_seconds: float
    retry_after: int | None
    keep: bool
    once: bool
    ids: set[str] = field(default_factory=set)  #: with `once`, of those that had it

    def view(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in FAULT_FIELDS}


#: After a restore from a backup an invoice's sequence goes on just above a multiple of this.
EPOCH = 1_000_000


@dataclass(slots=True)
class Inbox:
    """What one receiver remembers. `notes`: the first breaches of order, in words."""

    secrets: list[bytes] = field(default_factory=list)
    faults: list[ReceiverFault] = field(default_factory=list)
    ids: OrderedDict[str, None] = field(default_factory=OrderedDict)
    last_sequence: OrderedDict[str, int] = field(default_factory=OrderedDict)
    last_type: dict[str, str] = field(default_factory=dict)
    envelopes: deque[str] = field(default_factory=deque)
    envelope_bytes: int = 0
    types: Counter[str] = field(default_factory=Counter)
    invalid_reasons: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    received: int = 0
    faulted: int = 0
    valid: int = 0
    invalid: int = 0
    unique: int = 0
    duplicates: int = 0
    out_of_order: int = 0
    gaps: int = 0

    def view(self) -> dict[str, object]:
        counts = ("received", "faulted", "valid", "invalid", "unique", "duplicates", "out_of_order", "gaps")
        return {
            **{name: getattr(self, name) for name in counts},
            "subjects": len(self.last_sequence),
            "types": dict(self.types),
            "invalid_reasons": dict(self.invalid_reasons),
            "notes": self.notes,
        }

    def keep(self, webhook_id: str, body: bytes, envelope: Mapping[str, object]) -> None:
        """Count a verified event. A new one is kept, and its sequence compared with the last."""
        self.valid += 1
        if webhook_id in self.ids:
            self.duplicates += 1
            return
        self.ids[webhook_id] = None
        if len(self.ids) > MAX_IDS:
            self.ids.popitem(last=False)
        self.unique += 1
        kind = str(envelope.get("type"))[:100]
        self.types[kind if kind in self.types or len(self.types) < MAX_TYPES else "other"] += 1
        self._keep_envelope(body.decode("utf-8"))
        self._compare(str(envelope.get("subject"))[:200], envelope.get("sequence"), kind)

    def _keep_envelope(self, text: str) -> None:
        self.envelopes.append(text)
        self.envelope_bytes += len(text)
        while self.envelope_bytes > MAX_ENVELOPE_BYTES:
            self.envelope_bytes -= len(self.envelopes.popleft())

    def _compare(self, subject: str, sequence: object, kind: str) -> None:
        if not isinstance(sequence, str) or not sequence.isdecimal() or len(sequence) > 18:
            return
        number, last = int(sequence), self.last_sequence.get(subject, 0)
        if number <= last:
            self.out_of_order += 1
            self._note(f"{subject}: {kind} has sequence {number} after {last}")
            return
        if number != last + 1 and number % EPOCH != 1:
            self.gaps += 1
            self._note(f"{subject}: {kind} has sequence {number}, expected {last + 1}")
        self.last_sequence[subject], self.last_type[subject] = number, kind
        if len(self.last_sequence) > MAX_SUBJECTS:
            oldest, _ = self.last_sequence.popitem(last=False)
            del self.last_type[oldest]

    def _note(self, text: str) -> None:
        if len(self.notes) < MAX_NOTES:
            self.notes.append(text)


class Receiver:
    """Everything under `/receiver/{name}`; a name exists from its first use."""

    def __init__(self, secrets: list[str]) -> None:
        """`secrets`: `whsec_…`, valid for every name. Raises InputError for one that can't be read."""
        self._common = [read_secret(secret) for secret in secrets]
        self._inboxes: dict[str, Inbox] = {}

    def routes(self, prefix: str) -> list[web.RouteDef]:
        return [
            web.post(f"{prefix}/{{name}}", self._receive),
            web.get(f"{prefix}/{{name}}", answering(self._summarise)),
            web.delete(f"{prefix}/{{name}}", answering(self._forget)),
            web.get(f"{prefix}/{{name}}/events", answering(self._list_events)),
            web.get(f"{prefix}/{{name}}/subjects", answering(self._list_subjects)),
            web.post(f"{prefix}/{{name}}/secret", answering(self._add_secret)),
            web.post(f"{prefix}/{{name}}/faults", answering(self._add_fault)),
            web.get(f"{prefix}/{{name}}/faults", answering(self._list_faults)),
            web.delete(f"{prefix}/{{name}}/faults", answering(self._clear_faults)),
        ]

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        try:
            inbox = self._inbox(request)
            inbox.received += 1
            body = await read_bytes(request)
        except InputError as problem:
            return web.json_response({"error": str(problem)}, status=problem.status)
        fault = take_fault(inbox, request.headers.get("webhook-id", ""))
        if fault is not None:
            inbox.faulted += 1
            await asyncio.sleep(fault.delay_seconds)
            if fault.status is not None and not fault.keep:
                return _answer_fault(request, fault.status, fault.retry_after)
        try:
            webhook_id = verify(self._common + inbox.secrets, request.headers, body, time.time())
            inbox.keep(webhook_id, body, parse_object(body))
        except InputError as problem:
            inbox.invalid += 1
            inbox.invalid_reasons[str(problem)] += 1
            return web.json_response({"error": str(problem)}, status=problem.status)
        if fault is not None and fault.status is not None:
            return _answer_fault(request, fault.status, fault.retry_after)
        return web.Response(status=204)

    async def _summarise(self, request: web.Request) -> object:
        return self._inbox(request).view()

    async def _list_events(self, request: web.Request) -> object:
        # Byte for byte as they came, with their amounts and spacing.
        return [RawJSON(text) for text in self._inbox(request).envelopes]

    async def _list_subjects(self, request: web.Request) -> object:
        inbox = self._inbox(request)
        return {
            subject: {"sequence": sequence, "type": inbox.last_type[subject]}
            for subject, sequence in inbox.last_sequence.items()
        }

    async def _forget(self, request: web.Request) -> object:
        """Everything but the secrets."""
        inbox = self._inbox(request)
        self._inboxes[request.match_info["name"]] = Inbox(secrets=inbox.secrets)
        return {"forgotten": inbox.received}

    async def _add_secret(self, request: web.Request) -> object:
        fields = await read_object(request)
        refuse_unknown(fields, "secret")
        key = read_secret(take_text(fields, "secret"))
        inbox = self._inbox(request)
        if key not in inbox.secrets:
            inbox.secrets = [*inbox.secrets, key][-MAX_SECRETS:]
        return {"secrets": len(inbox.secrets)}

    async def _add_fault(self, request: web.Request) -> object:
        fields = await read_object(request)
        refuse_unknown(fields, *FAULT_FIELDS)
        fault = ReceiverFault(
            status=None if fields.get("status") is None else take_whole(fields, "status", 200, 599),
            times=None if fields.get("times") is None else take_whole(fields, "times", 1, 10**9),
            delay_seconds=take_number(fields, "delay_seconds", 0, 3600, 0),
            retry_after=None if fields.get("retry_after") is None else take_whole(fields, "retry_after", 0, 10**6),
            keep=take_flag(fields, "keep"),
            once=take_flag(fields, "once"),
        )
        inbox = self._inbox(request)
        if len(inbox.faults) >= MAX_FAULTS:
            raise InputError(f"status: there are {MAX_FAULTS} faults already")
        inbox.faults.append(fault)
        return fault.view()

    async def _list_faults(self, request: web.Request) -> object:
        return {"faults": [fault.view() for fault in self._inbox(request).faults]}

    async def _clear_faults(self, request: web.Request) -> object:
        self._inbox(request).faults.clear()
        return {"faults": []}

    def _inbox(self, request: web.Request) -> Inbox:
        name = request.match_info["name"]
        inbox = self._inboxes.get(name)
        if inbox is None:
            if len(name) > 100 or len(self._inboxes) >= MAX_RECEIVERS:
                raise InputError(f"name: at most 100 characters, and {MAX_RECEIVERS} receivers")
            inbox = self._inboxes[name] = Inbox()
        return inbox


def take_fault(inbox: Inbox, webhook_id: str) -> ReceiverFault | None:
    """The first fault that is not used up, counted as used once more; None too for an event that had it `once`."""
    if not inbox.faults:
        return None
    fault = inbox.faults[0]
    if fault.once:
        if webhook_id in fault.ids:
            return None
        if len(fault.ids) < MAX_IDS:
            fault.ids.add(webhook_id)
    if fault.times is not None:
        fault.times -= 1
        if fault.times == 0:
            inbox.faults.pop(0)
    return fault


def read_secret(text: str) -> bytes:
    """The key in `whsec_<base64>`. Raises InputError that does not quote it."""
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith("whsec_") or not key:
        raise InputError("secret: must be whsec_ and base64")
    return key


def verify(keys: list[bytes], headers: Mapping[str, str], body: bytes, now: float) -> str:
    """The webhook-id of a request signed as Standard Webhooks 1.0 says; now is in epoch seconds. Raises InputError."""
    webhook_id, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not webhook_id or len(webhook_id) > 300:
        raise InputError("webhook-id: is missing or too long", 401)
    if not stamp.isdecimal() or len(stamp) > 15 or abs(now - int(stamp)) > TOLERANCE_SECONDS:
        raise InputError(f"webhook-timestamp: must be within {TOLERANCE_SECONDS} seconds of now", 401)
    signed = f"{webhook_id}.{stamp}.".encode("utf-8", "surrogateescape") + body
    expected = [base64.b64encode(hmac.digest(key, signed, hashlib.sha256)) for key in keys]
    for signature in headers.get("webhook-signature", "").split(" "):
        version, _, value = signature.partition(",")
        given = value.encode("utf-8", "surrogateescape")
        if version == "v1" and any(hmac.compare_digest(given, each) for each in expected):
            return webhook_id
    raise InputError("webhook-signature: matches no secret of this receiver", 401)


def _answer_fault(request: web.Request, status: int, retry_after: int | None) -> web.Response:
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    if 300 <= status < 400:
        headers["Location"] = f"{request.path}-elsewhere"
    # 204 and 304 carry no body.
    text = None if status in (204, 304) else write_json({"error": f"scripted fault {status}"})
    return web.Response(status=status, text=text, headers=headers)
