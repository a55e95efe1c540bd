"""The plain tables that statements are made of: columns and primary keys, without indexes.

Written from the classes by `python -m tests.plain_tables`; a test compares the two. Commands that only read import no
SQLModel: that would take longer than all the rest of them.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
)

from workers.store.tables.columns import ExactAmount, RowNumber, UtcTime

__all__ = [
    "ACT",
    "AGENDA",
    "ATTEMPT",
    "ATTEMPTED",
    "BULK",
    "BULK_FAILURE",
    "CALLBACK",
    "CLOCK",
    "DELIVERY",
    "DRIFT",
    "DRIFT_INVOICE",
    "ENDPOINT",
    "EVENT",
    "EVIDENCE",
    "FORGED",
    "INVOICE",
    "JOB",
    "KEPT",
    "LINK",
    "LOG",
    "PAYMENT",
    "PERSON",
    "POSITION",
    "PROCESS",
    "REJECTED",
    "RESTORATION",
    "SESSION",
    "TOKEN",
]

_PLAIN = MetaData()

INVOICE: Final = Table(
    "invoice",
    _PLAIN,
    Column("id", String(40), primary_key=True),
    Column("account", String(64), nullable=False),
    Column("provider_account", String(64), nullable=False),
    Column("provider", String(32), nullable=False),
    Column("order_id", String(128), nullable=False),
    Column("idempotency_key", String(255), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("status", String(20), nullable=False),
    Column("anomaly", String(20)),
    Column("reason", Text),
    Column("sequence", Integer, nullable=False, default=0),
    Column("first_open", Integer, nullable=False, default=1),
    Column("price", ExactAmount),
    Column("currency", String(16)),
    Column("pay_amount", ExactAmount),
    Column("pay_currency", String(64)),
    Column("paid_amount", ExactAmount),
    Column("network", Text),
    Column("address", Text),
    Column("payment_url", Text),
    Column("qr_code", Text),
    Column("provider_ref", String(255)),
    Column("lifetime_minutes", ExactAmount),
    Column("params", Text, nullable=False, default="{}"),
    Column("metadata_json", Text, nullable=False, default="{}"),
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Column("create_before", UtcTime),
    Column("expires_at", UtcTime),
    Column("final_look_at", UtcTime),
    Column("monitor_until", UtcTime),
    Column("refused_since", UtcTime),
    Column("create_tries", Integer, nullable=False, default=0),
    Column("doubts", Integer, nullable=False, default=0),
    Column("doubted_at", UtcTime),
    Column("searches", Integer),
    Column("search_failures", Integer),
    Column("sought", Integer),
    Column("twins", Text),
    Column("quiet_polls", Integer, nullable=False, default=0),
    Column("evidence_digest", String(64)),
    Column("asked_by", Text),
    Column("called_status", String(20)),
    Column("called_word", String(64)),
    Column("called_amount", ExactAmount),
    Column("called_currency", String(64)),
    Column("called_only", Integer),
    Column("called_at", UtcTime),
    Column("called_answered_at", UtcTime),
    Column("called_looks", Integer),
    Column("contradicted", String(255)),
    Column("fallbacks", Text),
    Column("trace", Text),
)

EVIDENCE: Final = Table(
    "evidence",
    _PLAIN,
    Column("id", RowNumber, primary_key=True),
    Column("invoice_id", String(40), nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("kind", String(24), nullable=False),
    Column("detail", Text, nullable=False),
    Column("raw", Text),
    Column("verdict", String(16), nullable=False),
    Column("source", String(16)),
    Column("note", Text),
    Column("repeats", Integer),
    Column("last_at", UtcTime),
)

PAYMENT: Final = Table(
    "payment",
    _PLAIN,
    Column("id", RowNumber, primary_key=True),
    Column("invoice_id", String(40), nullable=False),
    Column("kind", String(10), nullable=False),
    Column("key", String(160), nullable=False),
    Column("source", String(16), nullable=False),
    Column("status", String(20), nullable=False),
    Column("total", ExactAmount),
    Column("amount", ExactAmount),
    Column("amount_told", Integer, nullable=False, default=0),
    Column("asset", String(64)),
    Column("network", Text),
    Column("tx_hash", Text),
    Column("reference", Text),
    Column("first_seen_at", UtcTime, nullable=False),
    Column("last_seen_at", UtcTime, nullable=False),
    Column("folded", Integer, nullable=False, default=0),
    Column("settled_status", String(20)),
    Column("settled_sequence", Integer),
    Column("settled_event", String(40)),
    Column("settled_by", String(16)),
    Column("settled_at", UtcTime),
)

AGENDA: Final = Table(
    "agenda",
    _PLAIN,
    Column("stage", String(10), primary_key=True),
    Column("subject", String(90), primary_key=True),
    Column("lane", String(64), nullable=False),
    Column("due_at", UtcTime),
    Column("lease_token", String(32)),
    Column("claims", Integer, nullable=False, default=0),
    Column("pokes", Integer, nullable=False, default=0),
    Column("fence", BigInteger),
)

CLOCK: Final = Table(
    "clock",
    _PLAIN,
    Column("name", String(20), primary_key=True),
    Column("seen_at", UtcTime, nullable=False),
    Column("stepped_at", UtcTime),
    Column("stepped_by", BigInteger),
    Column("moving_by", BigInteger),
    Column("moved_to", Text),
)

KEPT: Final = Table(
    "kept_answer",
    _PLAIN,
    Column("invoice_id", String(40), primary_key=True),
    Column("token", String(32), primary_key=True),
    Column("kind", String(24), nullable=False),
    Column("detail", Text, nullable=False),
    Column("raw", Text),
    Column("kept_at", UtcTime, nullable=False),
)

RESTORATION: Final = Table(
    "restoration",
    _PLAIN,
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("at", UtcTime, nullable=False),
)

EVENT: Final = Table(
    "event",
    _PLAIN,
    Column("number", RowNumber, primary_key=True),
    Column("id", String(40), nullable=False),
    Column("invoice_id", String(40), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("type", String(40), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("published_at", UtcTime),
    Column("positioned", SmallInteger),
)

LOG: Final = Table(
    "event_log",
    _PLAIN,
    Column("name", String(20), primary_key=True),
    Column("newest", BigInteger, nullable=False),
    Column("removed", BigInteger, nullable=False),
)

POSITION: Final = Table(
    "event_position",
    _PLAIN,
    Column("position", RowNumber, primary_key=True, autoincrement=False),
    Column("event_number", RowNumber, nullable=False),
    Column("account", String(128)),
)

ENDPOINT: Final = Table(
    "endpoint",
    _PLAIN,
    Column("id", String(40), primary_key=True),
    Column("url", Text, nullable=False),
    Column("secrets", Text, nullable=False),
    Column("events", Text),
    Column("accounts", Text),
    Column("headers", Text, nullable=False, default="{}"),
    Column("sealed_headers", Text),
    Column("max_in_flight", Integer, nullable=False),
    Column("rotated_until", UtcTime),
    Column("created_at", UtcTime, nullable=False),
    Column("disabled_at", UtcTime),
    Column("disabled_reason", Text),
)

DELIVERY: Final = Table(
    "delivery",
    _PLAIN,
    Column("id", RowNumber, primary_key=True),
    Column("endpoint_id", String(40), nullable=False),
    Column("event_number", RowNumber, nullable=False),
    Column("invoice_id", String(40), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("state", String(12), nullable=False, default="due"),
    Column("tries", Integer, nullable=False, default=0),
    Column("next_try_at", UtcTime),
    Column("created_at", UtcTime, nullable=False),
    Column("finished_at", UtcTime),
)

ATTEMPT: Final = Table(
    "delivery_attempt",
    _PLAIN,
    Column("id", RowNumber, primary_key=True),
    Column("delivery_id", RowNumber, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("outcome", String(20), nullable=False),
    Column("status", Integer),
    Column("latency_ms", Integer, nullable=False, default=0),
    Column("answer", LargeBinary),
    Column("error", Text),
    Column("next_try_at", UtcTime),
)

CALLBACK: Final = Table(
    "callback",
    _PLAIN,
    Column("id", RowNumber, primary_key=True),
    Column("account", String(64), nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("headers", Text, nullable=False),
    Column("order_id", String(255)),
    Column("reference", String(255)),
    Column("word", String(64)),
    Column("amount", ExactAmount),
    Column("state", String(12), nullable=False, default="new"),
    Column("invoice_id", String(40)),
    Column("reason", Text),
)

FORGED: Final = Table(
    "forged_callback",
    _PLAIN,
    Column("id", RowNumber, primary_key=True),
    Column("at", UtcTime, nullable=False),
    Column("account", String(64)),
    Column("why", String(255), nullable=False),
    Column("client", String(64)),
    Column("size", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("headers", Text, nullable=False),
)

REJECTED: Final = Table(
    "rejected_message",
    _PLAIN,
    Column("id", RowNumber, primary_key=True),
    Column("message_key", String(64), nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("task", String(255)),
    Column("reason", Text, nullable=False),
    Column("excerpt", Text, nullable=False),
    Column("complete", Boolean, nullable=False, default=True),
    Column("redriven_at", UtcTime),
)

DRIFT: Final = Table(
    "provider_drift",
    _PLAIN,
    Column("id", RowNumber, primary_key=True),
    Column("account", String(128), nullable=False),
    Column("provider", String(64), nullable=False),
    Column("kind", String(12), nullable=False),
    Column("call", String(20), nullable=False),
    Column("field", String(120), nullable=False),
    Column("value", String(40), nullable=False),
    Column("since", UtcTime, nullable=False),
    Column("event_id", String(40), nullable=False),
    Column("accepted_at", UtcTime),
)

DRIFT_INVOICE: Final = Table(
    "drift_invoice",
    _PLAIN,
    Column("drift_id", RowNumber, primary_key=True, autoincrement=False),
    Column("invoice_id", String(40), primary_key=True),
    Column("at", UtcTime, nullable=False),
)

ACT: Final = Table(
    "operator_act",
    _PLAIN,
    Column("id", RowNumber, primary_key=True),
    Column("at", UtcTime, nullable=False),
    Column("by", String(100), nullable=False),
    Column("origin", String(200), nullable=False),
    Column("act", String(32), nullable=False),
    Column("invoice_id", String(40)),
    Column("endpoint_id", String(40)),
    Column("account", String(64)),
    Column("callback_id", RowNumber),
    Column("message_id", RowNumber),
    Column("reason", Text),
    Column("before", Text),
    Column("after", Text),
)

TOKEN: Final = Table(
    "access_token",
    _PLAIN,
    Column("id", String(40), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("scopes", String(100), nullable=False),
    Column("accounts", Text),
    Column("hash", String(64), nullable=False),
    Column("per_second", ExactAmount),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime),
    Column("revoked_at", UtcTime),
    Column("last_used_at", UtcTime),
)

JOB: Final = Table(
    "replay_job",
    _PLAIN,
    Column("id", String(40), primary_key=True),
    Column("endpoint_id", String(40), nullable=False),
    Column("event_id", String(40)),
    Column("choice", Text, nullable=False),
    Column("by", String(100), nullable=False),
    Column("origin", String(200), nullable=False),
    Column("reason", Text),
    Column("state", String(12), nullable=False),
    Column("total", Integer, nullable=False),
    Column("sent", Integer, nullable=False),
    Column("done_number", BigInteger, nullable=False),
    Column("last_number", BigInteger, nullable=False),
    Column("why", Text),
    Column("created_at", UtcTime, nullable=False),
    Column("leased_until", UtcTime),
    Column("finished_at", UtcTime),
)

BULK: Final = Table(
    "bulk_job",
    _PLAIN,
    Column("id", String(40), primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("selection", Text, nullable=False),
    Column("query", Text, nullable=False),
    Column("options", Text, nullable=False),
    Column("by", String(100), nullable=False),
    Column("origin", String(200), nullable=False),
    Column("reason", Text),
    Column("state", String(12), nullable=False),
    Column("foreseen", Integer, nullable=False),
    Column("more", Integer, nullable=False),
    Column("done", Integer, nullable=False, default=0),
    Column("skipped", Integer, nullable=False, default=0),
    Column("failed", Integer, nullable=False, default=0),
    Column("events", Integer, nullable=False, default=0),
    Column("cursor", String(40)),
    Column("failures", Text, nullable=False),
    Column("why", Text),
    Column("created_at", UtcTime, nullable=False),
    Column("worked_at", UtcTime, nullable=False),
    Column("leased_until", UtcTime),
    Column("lease_token", String(32)),
    Column("finished_at", UtcTime),
)

BULK_FAILURE: Final = Table(
    "bulk_failure",
    _PLAIN,
    Column("job_id", String(40), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("invoice_id", String(40), nullable=False),
    Column("order_id", String(128), nullable=False),
    Column("why", Text, nullable=False),
)

PROCESS: Final = Table(
    "process_seen",
    _PLAIN,
    Column("role", String(12), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("started_at", UtcTime, nullable=False),
    Column("seen_at", UtcTime, nullable=False),
    Column("moved_at", UtcTime),
    Column("accounts", Text),
    Column("work", Text),
)

PERSON: Final = Table(
    "console_person",
    _PLAIN,
    Column("id", String(40), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("key", String(200), nullable=False),
    Column("role", String(12), nullable=False),
    Column("accounts", Text),
    Column("password", String(200), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("changed_at", UtcTime, nullable=False),
)

SESSION: Final = Table(
    "console_session",
    _PLAIN,
    Column("hash", String(64), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("key", String(200), nullable=False),
    Column("role", String(12), nullable=False),
    Column("accounts", Text),
    Column("way", String(12), nullable=False),
    Column("address", String(64), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("seen_at", UtcTime, nullable=False),
    Column("ends_at", UtcTime, nullable=False),
)

LINK: Final = Table(
    "console_link",
    _PLAIN,
    Column("hash", String(64), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("ends_at", UtcTime, nullable=False),
)

ATTEMPTED: Final = Table(
    "console_attempt",
    _PLAIN,
    Column("key", String(64), primary_key=True),
    Column("until", UtcTime, nullable=False),
)
