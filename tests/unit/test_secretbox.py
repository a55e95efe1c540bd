"""Endpoint secrets at rest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.delivery.secretbox import SecretBox, SecretUnreadable, new_key

KEY, OTHER = new_key(), new_key()


@given(st.text())
def test_what_was_sealed_opens_and_does_not_show(text) -> None:
    sealed = SecretBox([KEY]).seal(text)
    assert SecretBox([KEY]).open(sealed) == text
    assert len(text) < 8 or text not in sealed


def test_the_first_key_seals_and_the_others_still_open() -> None:
    sealed_before = SecretBox([KEY]).seal("whsec_x")
    both = SecretBox([OTHER, KEY])
    assert both.open(sealed_before) == "whsec_x"
    assert SecretBox([OTHER]).open(both.seal("whsec_x")) == "whsec_x"


def test_a_renewed_secret_opens_without_the_old_key() -> None:
    renewed = SecretBox([OTHER, KEY]).renew(SecretBox([KEY]).seal("whsec_x"))
    assert SecretBox([OTHER]).open(renewed) == "whsec_x"


@pytest.mark.parametrize(
    "stored",
    ["", "whsec_plain", "naïve", SecretBox([OTHER]).seal("x")],
    ids=["empty", "plain", "not-ascii", "another-key"],
)
def test_without_the_right_key_the_error_says_what_to_do(stored) -> None:
    box = SecretBox([KEY])
    for opening in (box.open, box.renew):
        with pytest.raises(SecretUnreadable, match="INVOICES_SECRET_KEY"):
            opening(stored)


def test_no_key_is_an_error_that_names_the_setting() -> None:
    with pytest.raises(ValueError, match="INVOICES_SECRET_KEY: no key"):
        SecretBox([])


@pytest.mark.parametrize("bad", ["", "short", "hunter2" * 6, "ключ"])
def test_a_malformed_key_is_named_by_its_place_and_not_shown(bad) -> None:
    with pytest.raises(ValueError, match="INVOICES_SECRET_KEY: key 2 ") as caught:
        SecretBox([KEY, bad])
    assert not bad or bad not in str(caught.value)
    assert caught.value.__suppress_context__


def test_keys_do_not_show_in_the_repr() -> None:
    assert KEY not in repr(SecretBox([KEY]))
