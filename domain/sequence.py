"""The numbers of events, in their invoice (sequence) and in the log (position): 1, 2, 3, …, with a jump after each
restore of the database."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

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


def follows(before: int, sequence: int, epochs: Collection[int]) -> bool:
    """Whether an invoice's events may have these numbers one after the other; ``epochs``: those that have begun."""
    return sequence == before + 1 or any(sequence == next_sequence(before, epoch) for epoch in epochs)


def gaps(sequences: Iterable[int], last: int, epochs: Collection[int]) -> Iterator[tuple[int, int]]:
    """Between which numbers of an invoice's events some are missing; ``last``: that of its newest event."""
    before = 0
    for sequence in sequences:
        if not follows(before, sequence, epochs):
            yield before, sequence
        before = sequence
    if before < last:
        yield before, last + 1
