"""A server that answers and refuses is treated like one that is lost: the worker waits and connects anew.

A failover leaves replicas (READONLY), a full disk or memory refuses writes (MISCONF, OOM), too few replicas do
(NOREPLICAS), a server that starts is LOADING, a password is changed: all of it passes. redis-py raises ResponseError,
which kombu takes for a fault of the channel, and Celery ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kombu.utils.encoding import bytes_to_str
from redis.exceptions import ConnectionError as BrokerConnectionError
from redis.exceptions import NoPermissionError, ResponseError


class _Experience:
    """What this process knows of its broker."""

    works = False  #: a claim was answered


def note_that_it_works() -> None:
    """A claim was answered: this process has every right that it needs."""
    _Experience.works = True


def as_lost_connection(error: ResponseError) -> Exception:
    """What a refusal means. A missing right ends a worker that never had it: nobody would see it wait."""
    if isinstance(error, NoPermissionError) and not _Experience.works:
        return error
    return BrokerConnectionError(f"the broker refused: {bytes_to_str(str(error))[:300]}")


@contextmanager
def refusals_as_lost_connections() -> Iterator[None]:
    """Raises a connection error where the server refused."""
    try:
        yield
    except ResponseError as error:
        raise as_lost_connection(error) from error
