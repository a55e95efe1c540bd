"""The numbers of events: 1, 2, 3, … of an invoice and of all, with one jump after each restore of the database."""

from __future__ import annotations

#: After a restore the world may have seen events that are gone here, fewer of an invoice than this.
EPOCH_STEP = 1_000_000
#: The same for positions, which are one row of numbers for all invoices. Whatever reads JSON tells them apart: the last
#: epoch's are below 2**53.
POSITION_STEP = 1_000_000_000_000
#: Sequences are whole numbers of 32 bits in PostgreSQL.
MAX_EPOCH = 2_000


def next_sequence(last: int, epoch: int) -> int:
    """What an invoice's next event is numbered: above ``last``, and above all that was told before the last restore."""
    return max(last + 1, epoch * EPOCH_STEP + 1)


def first_position(epoch: int) -> int:
    """No position was told before this epoch that is greater."""
    return epoch * POSITION_STEP
