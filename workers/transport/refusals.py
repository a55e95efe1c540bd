"""A server that refuses is treated like one that is lost: the worker waits and connects again.

After a failover it may be a replica (READONLY); with a full disk or memory, or too few replicas, it refuses writes
(MISCONF, OOM, NOREPLICAS); at its start it is LOADING; a password may change: all of that passes. redis-py raises
ResponseError for it, which kombu takes for an error of the channel, and Celery ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kombu.utils.encoding import bytes_to_str
from redis.exceptions import ConnectionError as BrokerConnectionError
from redis.exceptions import NoPermissionError, ResponseError


class _Experience:
    """What this process has seen of its broker."""

    works = False  #: a claim was answered


def note_that_it_works() -> None:
    """A claim was answered: this process has every right that it needs."""
    _Experience.works = True


def as_lost_connection(error: ResponseError) -> Exception:
    """The error to raise for a refusal. A worker that never had a right it needs ends: nobody would notice it
    waiting."""
    if isinstance(error, NoPermissionError) and not _Experience.works:
        return error
    return BrokerConnectionError(f"the broker refused: {bytes_to_str(str(error))[:300]}")


@contextmanager
def refusals_as_lost_connections() -> Iterator[None]:
    """Raise a connection error where the server refuses."""
    try:
        yield
    except ResponseError as error:
        raise as_lost_connection(error) from error
