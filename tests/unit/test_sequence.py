"""The numbers of an invoice's events."""

from __future__ import annotations

import pytest

from domain.sequence import EPOCH_STEP, MAX_EPOCH, next_sequence
from tests.acceptance.checked import follows


@pytest.mark.parametrize(
    ("last", "epoch", "following"),
    [
        (0, 0, 1),
        (4, 0, 5),
        (0, 1, 1_000_001),
        (4, 1, 1_000_001),
        (1_000_001, 1, 1_000_002),
        (1_000_007, 3, 3_000_001),
        (3_000_001, 1, 3_000_002),  # an epoch that was lost with another restore takes nothing back
        (1_999_999, 1, 2_000_000),
    ],
)
def test_it_counts_on_and_jumps_once_an_epoch(last, epoch, following):
    assert next_sequence(last, epoch) == following
    assert following == last + 1 or follows(following, last)


def test_the_highest_epoch_fits_the_column_and_the_envelope_s_twelve_digits():
    highest = next_sequence(0, MAX_EPOCH) + EPOCH_STEP
    assert highest < 2**31
    assert len(f"{highest:012d}") == 12
