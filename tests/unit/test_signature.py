"""Signatures, judged by the Standard Webhooks reference package."""

from __future__ import annotations

import base64
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from workers.delivery.signature import new_secret, sign


def headers(secrets, body, webhook_id="evt_0198", timestamp=None):
    timestamp = int(time.time()) if timestamp is None else timestamp
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secrets, webhook_id, timestamp, body),
    }


def test_the_example_of_the_specification_is_reproduced() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    signature = sign([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.dictionaries(st.text(), st.text(), max_size=5))
def test_the_reference_package_verifies_what_we_sign(payload) -> None:
    secret, body = new_secret(), json.dumps(payload, ensure_ascii=False).encode()
    assert Webhook(secret).verify(body, headers([secret], body)) == payload


def test_while_a_secret_is_rotated_both_the_old_and_the_new_verify() -> None:
    old, new, body = new_secret(), new_secret(), b"{}"
    sent = headers([new, old], body)
    assert Webhook(old).verify(body, sent) == {}
    assert Webhook(new).verify(body, sent) == {}
    assert len(sent["webhook-signature"].split(" ")) == 2


@pytest.mark.parametrize("change", [{"webhook-id": "evt_other"}, {"webhook-timestamp": str(int(time.time()) - 60)}])
def test_a_changed_header_is_refused_by_the_reference_package(change) -> None:
    secret, body = new_secret(), b"{}"
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body, headers([secret], body) | change)


def test_a_changed_body_or_another_secret_is_refused_by_the_reference_package() -> None:
    secret, body = new_secret(), b'{"amount":"1"}'
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(b'{"amount":"2"}', headers([secret], body))
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(body, headers([secret], body))


def test_a_new_secret_is_32_bytes_and_unlike_the_last() -> None:
    first, second = new_secret(), new_secret()
    assert first != second
    assert len(base64.b64decode(first.removeprefix("whsec_"), validate=True)) == 32


@pytest.mark.parametrize(
    "secrets", [[], [""], ["whsec_"], ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], ["whsec_sécret"], ["whsec_%%"]]
)
def test_a_broken_secret_is_an_error_that_does_not_show_it(secrets) -> None:
    with pytest.raises(ValueError, match="secret") as caught:
        sign(secrets, "evt_1", 1, b"{}")
    assert not any(secret.removeprefix("whsec_") in str(caught.value) for secret in secrets if len(secret) > 6)
