"""Every metric there is, as a table. Each process declares all of them, even those that it never counts.

Labels are accounts, endpoints' ids, stages and words of ours: never an order, an address, a URL or a secret.
``deploy/METRICS.md`` is made from this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Its type in Prometheus."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class By(StrEnum):
    """Which processes fill it; in others it has no value, or stays zero."""

    EVERY = "every process"
    WORKER = "workers"
    WEB = "web"
    ROWS = "web, from the database's rows"  #: at most every five seconds, see ``rows.py``


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. ``buckets``: of a histogram, in seconds; a goal is always one of them."""

    name: str
    kind: Kind
    by: By
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    goal: str = ""


#: Around a goal of one or two seconds.
QUICK = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0)
#: Around five seconds.
PAYABLE = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 30.0, 60.0, 300.0)
#: Around a minute.
DELIVERED = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
#: Of calls to providers: their time-outs are 10 s, and a look-up may take three of them.
CALL = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
#: Of transactions and of requests.
SHORT = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

FAMILIES: tuple[Family, ...] = (
    # -- the goals
    Family(
        "invoices_payable_seconds",
        Kind.HISTOGRAM,
        By.WORKER,
        "From an order's arrival to its first payable state, by the database's clock.",
        ("account",),
        PAYABLE,
        "99 % < 5 s",
    ),
    Family(
        "invoices_expiry_lateness_seconds",
        Kind.HISTOGRAM,
        By.WORKER,
        "From expires_at to the expiry. What a provider expired earlier is not counted.",
        (),
        QUICK,
        "99 % < 1 s",
    ),
    Family(
        "invoices_event_first_try_seconds",
        Kind.HISTOGRAM,
        By.WORKER,
        "From a change to the start of its first delivery attempt, at endpoints where nothing failed for ten minutes.",
        (),
        QUICK,
        "99 % < 2 s",
    ),
    Family(
        "invoices_event_delivered_seconds",
        Kind.HISTOGRAM,
        By.WORKER,
        "From a change to its delivery at the first attempt, at endpoints where nothing failed for ten minutes.",
        (),
        DELIVERED,
        "99 % < 60 s",
    ),
    Family(
        "invoices_callback_seconds",
        Kind.HISTOGRAM,
        By.WORKER,
        "From keeping a callback to the change that it brought, its look-up included.",
        ("account",),
        QUICK,
        "99 % < 2 s",
    ),
    Family(
        "invoices_agenda_overdue_seconds",
        Kind.GAUGE,
        By.ROWS,
        "How long the oldest row of a stage has been due; 0 while its lanes move, or wait as they were asked to.",
        ("stage",),
        goal="< 5 s",
    ),
    # -- what should be nothing
    Family(
        "invoices_in_doubt",
        Kind.GAUGE,
        By.ROWS,
        "Invoices in doubt: a call may have made them, and its answer is lost.",
        goal="0",
    ),
    Family(
        "invoices_in_doubt_oldest_seconds",
        Kind.GAUGE,
        By.ROWS,
        "How long the oldest of them has been in doubt; 0 if there is none.",
    ),
    Family(
        "invoices_contradictions_open",
        Kind.GAUGE,
        By.ROWS,
        "Invoices that a source contradicts and nobody has decided about.",
        goal="0",
    ),
    Family("invoices_unmatched_callbacks", Kind.GAUGE, By.ROWS, "Callbacks that no invoice is known for.", goal="0"),
    Family(
        "invoices_rejected_messages",
        Kind.GAUGE,
        By.ROWS,
        "Messages that were rejected and not sent again.",
        goal="0",
    ),
    Family("invoices_parked", Kind.GAUGE, By.ROWS, "Rows that lost their holders too often.", goal="0"),
    # -- providers
    Family(
        "invoices_provider_calls_total",
        Kind.COUNTER,
        By.WORKER,
        "Calls to providers, by outcome.",
        ("account", "call", "outcome"),
    ),
    Family(
        "invoices_provider_call_seconds",
        Kind.HISTOGRAM,
        By.WORKER,
        "How long creates, searches and groups of look-ups took.",
        ("account", "call"),
        CALL,
    ),
    Family(
        "invoices_account_refused",
        Kind.GAUGE,
        By.ROWS,
        "1 while an account's key, or every call, is turned away: its orders wait, or its payments would not be seen.",
        ("account",),
    ),
    Family(
        "invoices_provider_drift_open",
        Kind.GAUGE,
        By.ROWS,
        "What an account's answers have that they never had before and nobody has accepted.",
        ("account",),
        goal="0",
    ),
    # -- webhooks
    Family(
        "invoices_delivery_attempts_total",
        Kind.COUNTER,
        By.WORKER,
        "Delivery attempts, by outcome.",
        ("endpoint", "outcome"),
    ),
    Family(
        "invoices_endpoint_breaker_open",
        Kind.GAUGE,
        By.ROWS,
        "1 while an endpoint is left alone because most attempts there fail.",
        ("endpoint",),
    ),
    Family(
        "invoices_endpoint_backlog_seconds",
        Kind.GAUGE,
        By.ROWS,
        "The age of the oldest event that waits for an endpoint; 0 if none does.",
        ("endpoint",),
    ),
    Family("invoices_endpoint_disabled", Kind.GAUGE, By.ROWS, "1 while an endpoint is disabled.", ("endpoint",)),
    Family(
        "invoices_stream_behind_seconds",
        Kind.GAUGE,
        By.ROWS,
        "The age of the oldest event that the stream has not been told; 0 if there is none.",
    ),
    # -- processes
    Family("invoices_slots_used", Kind.GAUGE, By.WORKER, "Calls and groups of rows under way.", ("stage",)),
    Family(
        "invoices_work_seconds",
        Kind.HISTOGRAM,
        By.WORKER,
        "How long the I/O of a group of rows took.",
        ("stage",),
        CALL,
    ),
    Family(
        "invoices_commit_seconds",
        Kind.HISTOGRAM,
        By.WORKER,
        "How long the transactions that wrote results took.",
        ("stage",),
        SHORT,
    ),
    Family("invoices_committed_results_total", Kind.COUNTER, By.WORKER, "Results that were committed.", ("stage",)),
    Family(
        "invoices_changes_total",
        Kind.COUNTER,
        By.WORKER,
        "Changes of invoices by workers, by the new status.",
        ("account", "status"),
    ),
    Family(
        "invoices_troubles_total",
        Kind.COUNTER,
        By.WORKER,
        "What went wrong in the engine, by its name in the log.",
        ("reason",),
    ),
    Family(
        "invoices_clock_skew_seconds",
        Kind.GAUGE,
        By.ROWS,
        "How far the web process's host is ahead of the database's clock (negative: behind).",
    ),
    Family(
        "invoices_store_readable",
        Kind.GAUGE,
        By.ROWS,
        "0 while the database can't be read: what comes from its rows is left out then.",
    ),
    Family("invoices_build_info", Kind.GAUGE, By.EVERY, "What runs here.", ("version", "role")),
    # -- how many workers it takes
    Family(
        "invoices_workers_wanted",
        Kind.GAUGE,
        By.ROWS,
        "Worker processes that the due work needs, without what accounts' rates or the database hold up.",
    ),
    Family("invoices_bound_by", Kind.GAUGE, By.ROWS, "1 for what bounds that number, 0 for the rest.", ("reason",)),
    # -- the web process
    Family(
        "invoices_callbacks_total",
        Kind.COUNTER,
        By.WEB,
        "Callbacks of providers, by outcome.",
        ("account", "outcome"),
    ),
    Family(
        "invoices_callback_kept_seconds",
        Kind.HISTOGRAM,
        By.WEB,
        "From a callback's first byte until it is kept.",
        ("account",),
        SHORT,
    ),
    Family("invoices_web_requests_total", Kind.COUNTER, By.WEB, "Requests answered.", ("route", "method", "status")),
    Family("invoices_web_request_seconds", Kind.HISTOGRAM, By.WEB, "How long requests took.", ("route",), SHORT),
    Family("invoices_api_waiting", Kind.GAUGE, By.WEB, "Requests waiting for an invoice to change."),
    Family("invoices_api_following", Kind.GAUGE, By.WEB, "Readers following the log live."),
)
