"""Whether a provider can be asked about an invoice is one question, put to the invoice."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from domain.asking import Known, asks_by, can_be_asked, waits_for_callback


def provider(can_be_asked=True, by_reference=False):
    return SimpleNamespace(can_be_asked=can_be_asked, asked_by_reference=by_reference)


@pytest.mark.parametrize(
    ("invoice", "asking", "refs", "waits"),
    [
        (Known(None, None), provider(), [], False),  # not made yet
        (Known("77", None), provider(), ["77"], False),
        (Known("77", '["100061"]'), provider(), ["77"], False),  # its own id will do
        (Known("77", None), provider(by_reference=True), [], True),  # made, and no callback came
        (Known("77", '["100061", "100062"]'), provider(by_reference=True), ["100061", "100062"], False),
        (Known(None, '["100061"]'), provider(by_reference=True), ["100061"], False),  # the create's answer was lost
        (Known("77", '["100061"]'), provider(can_be_asked=False), [], False),
        (Known("77", None), provider(can_be_asked=False, by_reference=True), [], False),
    ],
)
def test_an_invoice_is_asked_about_by_what_its_provider_understands(invoice, asking, refs, waits):
    assert asks_by(invoice, asking) == refs
    assert can_be_asked(invoice, asking) is bool(refs)
    assert waits_for_callback(invoice, asking) is waits
