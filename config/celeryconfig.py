"""Celery's settings, each with its reason. Read against celery 5.7 and kombu 5.7."""

from __future__ import annotations

from typing import Any

from kombu import Exchange, Queue

from config.settings import Settings
from config.urls import amqp_tls, read_sentinel, verified, without_query

INTAKE_QUEUE = "invoices.intake"
WORK_QUEUE = "invoices.work"

#: Workers on a Redis broker record a message in the same step that pops it (``workers.transport``), so that a killed
#: worker loses none. False: kombu's own transport, which loses about one message in three kills; nothing else changes.
ATOMIC_CLAIMS = True

#: A killed worker's messages come back after this. With atomic claims it is a lease, which live workers renew. kombu's
#: own transport does not renew it, so there it must be far longer than any task.
VISIBILITY_SECONDS = 30 if ATOMIC_CLAIMS else 300

#: Between two of beat's sweeps. Each worker asks SQL once a second by itself: a sweep is for one that has
#: stopped doing so.
SWEEP_SECONDS = 5.0


def celery_settings(settings: Settings) -> dict[str, Any]:
    """The configuration of the Celery app."""
    return {
        **_broker(settings),
        **QUEUES,
        "task_queues": _queues(settings),
        **MESSAGES,
        **WORKER,
        "worker_prefetch_multiplier": _in_hand(settings),
        "worker_enable_remote_control": settings.remote_control != "off",
        "beat_scheduler": "workers.queue.scheduler:Scheduler",  # in memory: the schedule is code
        "beat_schedule": {
            # No `expires`: it is compared with the worker's clock, and one that is fast would drop every sweep.
            # Any number of beats may run: sweeps are idempotent.
            "sweep": {"task": "invoices.sweep", "schedule": SWEEP_SECONDS, "options": {"queue": WORK_QUEUE}},
        },
        "beat_max_loop_interval": SWEEP_SECONDS,  # it never sleeps for longer
    }


def _broker(settings: Settings) -> dict[str, object]:
    url = verified(settings.broker_url)
    options, tls = REDIS_OPTIONS, None
    if url.startswith("amqp"):
        options, tls = AMQP_OPTIONS, amqp_tls(url) if url.startswith("amqps") else None
        url = without_query(url) if tls else url
    elif url.startswith("sentinel"):
        sentinels = read_sentinel(url)
        options = {
            **REDIS_OPTIONS,
            "master_name": sentinels.master,
            "sentinel_kwargs": {**SENTINEL_TIMEOUTS, **sentinels.login},
        }
        url = sentinels.kombu_url()
    return {
        "broker_url": url,
        "broker_use_ssl": tls,  # for Redis the address says it
        "broker_transport_options": options,
        "broker_connection_timeout": 5,
        "broker_connection_retry_on_startup": True,  # a broker that starts later than we do is no error
        "broker_connection_max_retries": None,  # the default gives up for good after 100
        "broker_pool_acquire_timeout": 5,  # the default blocks for ever
    }


#: Messages in hand for each thread of a worker. Those of single orders share tasks and transactions: with 128 in hand
#: an order costs the intake 0.85 of what it does with 64, and half of what it does with 16 (decisions 53 and 63).
IN_HAND = 8

REDIS_OPTIONS: dict[str, object] = {
    "visibility_timeout": VISIBILITY_SECONDS,
    "unacked_restore_interval": 5,  # seconds between renewing leases and looking for a killed worker's messages ...
    "unacked_restore_throttle": 1 if ATOMIC_CLAIMS else 6,  # ... kombu's own transport looks every so many times only
    # Names of our own: with kombu's we would bring back the running tasks of another Celery app in the same database.
    "unacked_key": "invoices.unacked",
    "unacked_index_key": "invoices.unacked_index",
    "unacked_mutex_key": "invoices.unacked_mutex",
    "isolates": True,  # our own: a message that workers died with is handled alone, and in the end listed as rejected
    "in_turns": INTAKE_QUEUE,  # our own: one account's many orders don't hold up another's
    "room_alone": IN_HAND,  # our own: a message with a task of its own takes a thread's whole share
    "unacked_mutex_expire": 5,  # by default a worker killed while it looks would block all others for 300 s
    "socket_timeout": 30,  # kombu resets redis-py's own 5 s to none at all
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 10,
    # A message that is put back goes to the exchange that its sender wrote into it, and some clients write one that
    # nobody declared (gocelery: "celery"). Without this kombu would drop such a message for good.
    "deadletter_queue": INTAKE_QUEUE,
    # priority_steps keeps its default: a sender's `priority` picks one of four lists, and all must be read.
}


#: A sentinel that does not answer in this time is passed over.
SENTINEL_TIMEOUTS = {"socket_timeout": 2, "socket_connect_timeout": 2}

AMQP_OPTIONS: dict[str, object] = {
    "confirm_publish": True,  # a publish that returns has reached the broker, on most of its nodes
    "read_timeout": 30,  # without it a publish waits for ever for a broker that has gone silent
    "write_timeout": 30,
}
#: On RabbitMQ a queue lives on several nodes. Senders must declare it in exactly this way, or not at all.
AMQP_QUEUE_ARGUMENTS = {"x-queue-type": "quorum"}


def _queues(settings: Settings) -> tuple[Queue, ...]:
    arguments = AMQP_QUEUE_ARGUMENTS if settings.broker_url.startswith("amqp") else None
    return tuple(_queue(name, arguments) for name in (INTAKE_QUEUE, WORK_QUEUE))


def _queue(name: str, arguments: dict[str, str] | None) -> Queue:
    # Just as Celery declares a queue of which it knows only the name: senders without our settings do the same.
    return Queue(name, Exchange(name, type="direct"), routing_key=name, queue_arguments=arguments)


def _in_hand(settings: Settings) -> int:
    """For each thread. Whatever else there is waits in the broker, while the database is away too. RabbitMQ counts
    messages only, not their bytes, and of the longest there must not be many."""
    return 1 if settings.broker_url.startswith("amqp") or not ATOMIC_CLAIMS else IN_HAND


QUEUES: dict[str, object] = {
    "task_default_queue": INTAKE_QUEUE,  # an unknown task is refused there and listed, not lost in a queue "celery"
    "task_create_missing_queues": False,  # a mistyped -Q stops the worker instead of reading an empty queue
    "task_routes": {
        "invoices.run": {"queue": WORK_QUEUE},
        "invoices.sweep": {"queue": WORK_QUEUE},
        "invoices.*": {"queue": INTAKE_QUEUE},
    },
}

MESSAGES: dict[str, object] = {
    "task_serializer": "json",
    "accept_content": ["json"],
    "task_protocol": 2,
    "result_backend": None,  # SQL is the truth
    "task_ignore_result": True,
    "task_acks_late": False,  # for doorbells; the intake's tasks set it themselves
    "task_store_errors_even_if_ignored": False,
    "enable_utc": True,
    "timezone": "UTC",
}

WORKER: dict[str, object] = {
    "worker_consumer": "workers.queue.consumer:GuardedConsumer",  # turns foreign messages away before Celery reads them
    "worker_soft_shutdown_timeout": 30,  # seconds to finish or release what is in hand
    "worker_enable_soft_shutdown_on_idle": True,
    "worker_hijack_root_logger": False,  # logging is ours
    "worker_redirect_stdouts": False,
    "worker_send_task_events": False,  # nobody listens, and each event would cost a publish
    "task_send_sent_event": False,
    "worker_cancel_long_running_tasks_on_connection_loss": False,  # threads can't be cancelled; tasks are idempotent
    "worker_disable_rate_limits": True,  # none are set; this spares a look-up for each message
}
