"""TRANSITIONS against the contract's own words (Statuses)."""

from __future__ import annotations

import pytest

from domain.status import FINAL, OPEN, TRANSITIONS, UNMADE, WATCHED, Status

#: Per status, where it may go. The contract: ``queued → pending → partially_paid → confirming → paid``, forward
#: steps may be skipped; ``queued → in_doubt →`` any of these; ``→ failed``, ``→ expired``, ``→ cancelled``;
#: ``paid → refunded``; ``confirming → pending``; ``expired → confirming → paid``.
CONTRACT = """
queued          in_doubt pending partially_paid confirming paid failed expired cancelled
in_doubt        pending partially_paid confirming paid failed expired cancelled
pending         partially_paid confirming paid failed expired cancelled
partially_paid  partially_paid confirming paid failed expired cancelled
confirming      pending paid failed expired cancelled
paid            refunded
expired         confirming paid
failed
cancelled
refunded
"""


@pytest.mark.parametrize("line", CONTRACT.strip().splitlines())
def test_every_move_is_the_contracts(line):
    status, *targets = line.split()
    assert {str(target) for target in TRANSITIONS[Status(status)]} == set(targets)


def test_every_status_has_its_line_and_belongs_to_one_group():
    assert {line.split()[0] for line in CONTRACT.strip().splitlines()} == set(Status)
    assert sorted([*OPEN, *FINAL, Status.EXPIRED]) == sorted(Status)
    assert UNMADE | WATCHED == OPEN
    assert not UNMADE & WATCHED


def test_nothing_leaves_a_final_status_but_a_refund():
    assert {(a, b) for a in FINAL for b in TRANSITIONS[a]} == {(Status.PAID, Status.REFUNDED)}
