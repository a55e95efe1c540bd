"""The numbers of events, in their invoice (sequence) and in the log (position): 1, 2, 3, …, with a jump after each
restore of the database."""

from __future__ import annotations

#: The jump of sequences. After a restore receivers may have seen events that are gone here: fewer than this per
#: invoice.
EPOCH_STEP = 1_000_000
#: The jump of positions, which number the events of all invoices. Even in the last epoch they stay below 2**53, so
#: every JSON reader tells them apart.
POSITION_STEP = 1_000_000_000_000
#: Sequences are 32-bit integers in PostgreSQL.
MAX_EPOCH = 2_000


def next_sequence(last: int, epoch: int) -> int:
    """The number of an invoice's next event: above ``last``, and above all that were told before the last restore."""
    return max(last + 1, epoch * EPOCH_STEP + 1)


def first_position(epoch: int) -> int:
    """The number before the epoch's first position: no position that was told in earlier epochs is greater."""
    return epoch * POSITION_STEP
