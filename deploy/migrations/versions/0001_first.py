"""The first tables: what ``workers/store/tables`` said, and how PostgreSQL is to keep the agenda."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

phase = "expand"

ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)

#: Every claim and completion rewrites an agenda row. Half-empty pages leave room for the new version beside the old
#: one; vacuum must come after thousands of dead rows, not after a fifth of the table, and must not pause.
AGENDA_STORAGE = """
ALTER TABLE agenda SET (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_insert_scale_factor = 0.1,
    autovacuum_analyze_scale_factor = 0.05,
    autovacuum_analyze_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
)
"""


def upgrade() -> None:
    _invoice()
    _agenda()
    _event()
    _endpoint()
    _delivery()
    _delivery_attempt()
    _evidence()
    _rejected_message()


def downgrade() -> None:
    for table in (
        "rejected_message",
        "evidence",
        "delivery_attempt",
        "delivery",
        "endpoint",
        "event",
        "agenda",
        "invoice",
    ):
        op.drop_table(table)


def _partial_index(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def _invoice() -> None:
    op.create_table(
        "invoice",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("provider_account", sa.String(64), nullable=False),
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("order_id", sa.String(128), nullable=False),
        sa.Column("idempotency_key", sa.String(255), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("anomaly", sa.String(20)),
        sa.Column("reason", sa.Text()),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("first_open", sa.Integer(), nullable=False),
        sa.Column("price", sa.Text()),
        sa.Column("currency", sa.String(16)),
        sa.Column("pay_amount", sa.Text()),
        sa.Column("pay_currency", sa.String(64)),
        sa.Column("paid_amount", sa.Text()),
        sa.Column("network", sa.Text()),
        sa.Column("address", sa.Text()),
        sa.Column("payment_url", sa.Text()),
        sa.Column("qr_code", sa.Text()),
        sa.Column("provider_ref", sa.String(255)),
        sa.Column("lifetime_minutes", sa.Text()),
        sa.Column("params", sa.Text(), nullable=False),
        sa.Column("metadata_json", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.Column("create_before", TIME),
        sa.Column("expires_at", TIME),
        sa.Column("final_look_at", TIME),
        sa.Column("monitor_until", TIME),
        sa.Column("refused_since", TIME),
        sa.Column("create_tries", sa.Integer(), nullable=False),
        sa.Column("doubts", sa.Integer(), nullable=False),
        sa.Column("quiet_polls", sa.Integer(), nullable=False),
        sa.Column("evidence_digest", sa.String(64)),
        sa.UniqueConstraint("account", "idempotency_key", name="uq_invoice_key"),
    )
    _partial_index("uq_invoice_open_order", "invoice", ["account", "order_id"], "first_open = 1", unique=True)
    _partial_index(
        "uq_invoice_provider_ref",
        "invoice",
        ["provider_account", "provider_ref"],
        "provider_ref IS NOT NULL",
        unique=True,
    )
    op.create_index("ix_invoice_order", "invoice", ["order_id"])
    op.create_index("ix_invoice_status", "invoice", ["status", "id"])


def _agenda() -> None:
    op.create_table(
        "agenda",
        sa.Column("stage", sa.String(10), primary_key=True),
        sa.Column("subject", sa.String(90), primary_key=True),
        sa.Column("lane", sa.String(64), nullable=False),
        sa.Column("due_at", TIME),
        sa.Column("lease_token", sa.String(32)),
        sa.Column("claims", sa.Integer(), nullable=False),
        sa.Column("pokes", sa.Integer(), nullable=False),
    )
    op.create_index("ix_agenda_due", "agenda", ["stage", "lane", "due_at"])
    if op.get_context().dialect.name == "postgresql":
        op.execute(AGENDA_STORAGE)


def _event() -> None:
    op.create_table(
        "event",
        sa.Column("number", ROW_NUMBER, primary_key=True),
        sa.Column("id", sa.String(40), nullable=False, unique=True),
        sa.Column("invoice_id", sa.String(40), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(40), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("published_at", TIME),
        sa.UniqueConstraint("invoice_id", "sequence", name="uq_event_sequence"),
    )
    _partial_index("ix_event_unpublished", "event", ["number"], "published_at IS NULL")


def _endpoint() -> None:
    op.create_table(
        "endpoint",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secrets", sa.Text(), nullable=False),
        sa.Column("events", sa.Text()),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("max_in_flight", sa.Integer(), server_default="50", nullable=False),
        sa.Column("rotated_until", TIME),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("disabled_at", TIME),
        sa.Column("disabled_reason", sa.Text()),
    )


def _delivery() -> None:
    op.create_table(
        "delivery",
        sa.Column("id", ROW_NUMBER, primary_key=True),
        sa.Column("endpoint_id", sa.String(40), nullable=False),
        sa.Column("event_number", ROW_NUMBER, nullable=False),
        sa.Column("invoice_id", sa.String(40), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_try_at", TIME),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("finished_at", TIME),
        sa.UniqueConstraint("endpoint_id", "event_number", name="uq_delivery_event"),
    )
    _partial_index("ix_delivery_next", "delivery", ["endpoint_id", "invoice_id", "sequence"], "state = 'due'")
    _partial_index("ix_delivery_dead", "delivery", ["endpoint_id", "event_number"], "state = 'dead'")


def _delivery_attempt() -> None:
    op.create_table(
        "delivery_attempt",
        sa.Column("id", ROW_NUMBER, primary_key=True),
        sa.Column("delivery_id", ROW_NUMBER, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("outcome", sa.String(20), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("latency_ms", sa.Integer(), nullable=False),
        sa.Column("answer", sa.LargeBinary()),
        sa.Column("error", sa.Text()),
        sa.Column("next_try_at", TIME),
    )
    op.create_index("ix_attempt_delivery", "delivery_attempt", ["delivery_id"])


def _evidence() -> None:
    op.create_table(
        "evidence",
        sa.Column("id", ROW_NUMBER, primary_key=True),
        sa.Column("invoice_id", sa.String(40), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("kind", sa.String(24), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("raw", sa.Text()),
        sa.Column("verdict", sa.String(16), nullable=False),
    )
    op.create_index("ix_evidence_invoice", "evidence", ["invoice_id"])


def _rejected_message() -> None:
    op.create_table(
        "rejected_message",
        sa.Column("id", ROW_NUMBER, primary_key=True),
        sa.Column("message_key", sa.String(64), nullable=False, unique=True),
        sa.Column("at", TIME, nullable=False),
        sa.Column("task", sa.String(255)),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("excerpt", sa.Text(), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("redriven_at", TIME),
    )
