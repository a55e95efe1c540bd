"""The numbers of an invoice's events: 1, 2, 3, … with one jump after each restore of the database."""

from __future__ import annotations

#: After a restore the world may have seen events that are gone here, fewer of an invoice than this.
EPOCH_STEP = 1_000_000
#: Sequences are whole numbers of 32 bits in PostgreSQL.
MAX_EPOCH = 2_000


def next_sequence(last: int, epoch: int) -> int:
    """What an invoice's next event is numbered: above ``last``, and above all that was told before the last restore."""
    return max(last + 1, epoch * EPOCH_STEP + 1)
