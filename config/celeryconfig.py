"""Celery's settings, each with its reason. Read against celery 5.7 and kombu 5.7."""

from __future__ import annotations

from typing import Any

from kombu import Exchange, Queue

from config.settings import Settings
from config.urls import amqp_tls, read_sentinel, verified, without_query

INTAKE_QUEUE = "invoices.intake"
WORK_QUEUE = "invoices.work"

#: Workers on a Redis broker record a message in the very step that pops it (``workers.transport``): a killed worker
#: loses none. False: kombu's own transport, which loses about one message in three kills; nothing else changes.
ATOMIC_CLAIMS = True

#: A killed worker's messages come back after this. With atomic claims it is a lease that live workers renew; kombu's
#: own transport doesn't, so it must lie far above any task's length.
VISIBILITY_SECONDS = 30 if ATOMIC_CLAIMS else 300


def celery_settings(settings: Settings) -> dict[str, Any]:
    """The configuration of the Celery app."""
    return {
        **_broker(settings),
        **QUEUES,
        "task_queues": _queues(settings),
        **MESSAGES,
        **WORKER,
        "worker_enable_remote_control": settings.remote_control != "off",
        "beat_scheduler": "workers.queue.scheduler:Scheduler",  # in memory: the schedule is code
        "beat_schedule": {
            # No `expires`: it is compared with the worker's clock, one fast clock would throw every sweep away.
            # Sweeps are idempotent: any number of beats may run.
            "sweep": {"task": "invoices.sweep", "schedule": 1.0, "options": {"queue": WORK_QUEUE}},
        },
        "beat_max_loop_interval": 1,  # never asleep for longer than the sweep's own second
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
        "broker_use_ssl": tls,  # on Redis it stands in the address
        "broker_transport_options": options,
        "broker_connection_timeout": 5,
        "broker_connection_retry_on_startup": True,  # a broker that starts later than we do is no error
        "broker_connection_max_retries": None,  # the default gives up for good after 100
        "broker_pool_acquire_timeout": 5,  # the default blocks for ever
    }


REDIS_OPTIONS: dict[str, object] = {
    "visibility_timeout": VISIBILITY_SECONDS,
    "unacked_restore_interval": 5,  # leases are renewed, and a killed worker's messages looked for, so often ...
    "unacked_restore_throttle": 1 if ATOMIC_CLAIMS else 6,  # ... by kombu's own transport every so many times
    # Names of our own: with kombu's, we would bring back the running tasks of another Celery app in the same database.
    "unacked_key": "invoices.unacked",
    "unacked_index_key": "invoices.unacked_index",
    "unacked_mutex_key": "invoices.unacked_mutex",
    "isolates": True,  # ours: a message that workers died with is worked on alone, and at last told as rejected
    "unacked_mutex_expire": 5,  # a worker killed in that look would block all others for 300 s
    "socket_timeout": 30,  # kombu resets redis-py's own 5 s to none at all
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 10,
    # A message put back goes to the exchange its sender wrote, and some clients write one that nobody declared
    # (gocelery: "celery"). Without this kombu drops such a message for good.
    "deadletter_queue": INTAKE_QUEUE,
    # priority_steps stays as it is: a sender's `priority` picks one of the four lists, and all must be read.
}


#: A sentinel that is away is passed over after so long.
SENTINEL_TIMEOUTS = {"socket_timeout": 2, "socket_connect_timeout": 2}

AMQP_OPTIONS: dict[str, object] = {
    "confirm_publish": True,  # a publish that returns has reached the broker, on most of its nodes
    "read_timeout": 30,  # a broker that says nothing any more: without it a publish waits for its answer for ever
    "write_timeout": 30,
}
#: On RabbitMQ a queue lives on several nodes; senders declare it the very same, or not at all.
AMQP_QUEUE_ARGUMENTS = {"x-queue-type": "quorum"}


def _queues(settings: Settings) -> tuple[Queue, ...]:
    arguments = AMQP_QUEUE_ARGUMENTS if settings.broker_url.startswith("amqp") else None
    return tuple(_queue(name, arguments) for name in (INTAKE_QUEUE, WORK_QUEUE))


def _queue(name: str, arguments: dict[str, str] | None) -> Queue:
    # As Celery declares a queue it only knows by name: senders without our settings declare the very same.
    return Queue(name, Exchange(name, type="direct"), routing_key=name, queue_arguments=arguments)


QUEUES: dict[str, object] = {
    "task_default_queue": INTAKE_QUEUE,  # a name nobody routed is refused there and listed, not lost in "celery"
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
    "task_acks_late": False,  # doorbells; the intake's tasks say otherwise themselves
    "task_store_errors_even_if_ignored": False,
    "enable_utc": True,
    "timezone": "UTC",
}

WORKER: dict[str, object] = {
    "worker_consumer": "workers.queue.consumer:GuardedConsumer",  # turns foreign messages away before Celery reads them
    "worker_prefetch_multiplier": 1,  # while the database is away, messages wait in the broker, not here
    "worker_soft_shutdown_timeout": 30,  # time to finish or release what is in hand
    "worker_enable_soft_shutdown_on_idle": True,
    "worker_hijack_root_logger": False,  # logging is ours
    "worker_redirect_stdouts": False,
    "worker_send_task_events": False,  # nobody listens, and each event costs a publish
    "task_send_sent_event": False,
    "worker_cancel_long_running_tasks_on_connection_loss": False,  # threads can't be cancelled; tasks are idempotent
    "worker_disable_rate_limits": True,  # none are set; spares a bucket look-up a message
}
