"""Endpoints over HTTP: what each token sees, adds and changes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from domain.permissions import Scope
from tests.contracts.api_cases import HOOK, KEY, add_endpoint
from tests.contracts.operator_cases import told
from tests.contracts.store_cases import ACCOUNT, SILENT_ACCOUNT, pend, rows
from workers.delivery.secretbox import SecretBox
from workers.store.endpoints import find_endpoint
from workers.store.tables import DELIVERY


def test_an_added_one_tells_its_secret_once(service, ask):
    made = ask("POST", "/v1/endpoints", json={"url": HOOK, "events": ["invoice.paid"], "headers": {"X-Shop": "pa55"}})

    fields = made.json()
    assert (made.status_code, made.headers["location"]) == (201, f"/v1/endpoints/{fields['id']}")
    endpoint = service.store.database.read(find_endpoint, fields["id"])
    box = SecretBox([KEY])
    assert [box.open(one) for one in endpoint.sealed_secrets] == [fields["secret"]]
    shown = ask("GET", made.headers["location"]).json()
    assert shown == {name: value for name, value in fields.items() if name != "secret"}
    assert (shown["events"], shown["headers"], shown["accounts"]) == (["invoice.paid"], ["X-Shop"], None)
    assert ask("GET", "/v1/endpoints").json() == {"endpoints": [shown]}
    (act,) = [one for one in told(service.store) if one["act"] == "endpoint.add"]
    assert act["by"] == "a service"
    assert fields["secret"] not in str(act)
    assert "pa55" not in made.text + str(act)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"url": "http://shop.example/"}, "#/url"),
        ({"url": "https://10.0.0.1/"}, "#/url"),
        ({"url": 7}, "#/url"),
        ({"events": ["invoice.nothing"]}, "#/events"),
        ({"events": []}, "#/events"),
        ({"headers": {"webhook-id": "x"}}, "#/headers"),
        ({"max_in_flight": 0}, "#/max_in_flight"),
        ({"accounts": ["nobody"]}, "#/accounts"),
        ({"colour": "red"}, "#/colour"),
    ],
)
def test_one_that_can_not_be_is_422_with_a_pointer(ask, fields, pointer):
    answered = ask("POST", "/v1/endpoints", json={"url": HOOK} | fields)

    assert (answered.status_code, [one["pointer"] for one in answered.json()["errors"]]) == (422, [pointer])


def test_each_of_its_settings_can_be_changed_and_the_others_stay(service, ask):
    made = add_endpoint(ask, events=["invoice.paid"], headers={"X-Shop": "pa55"}, max_in_flight=5, accounts=[ACCOUNT])
    path, secret = f"/v1/endpoints/{made['id']}", made.pop("secret")
    steps: list[dict[str, Any]] = [
        {"url": "http://127.0.0.1:9/moved"},
        {"events": ["invoice.expired", "invoice.paid"]},
        {"events": None},
        {"headers": {"X-Other": "w0rd"}},
        {"headers": None},
        {"max_in_flight": 7},
        {"accounts": [SILENT_ACCOUNT]},
        {"accounts": None},
    ]
    for fields in steps:
        ((name, value),) = fields.items()
        made[name] = sorted(value or {}) if name == "headers" else value
        changed = ask("PATCH", path, json=fields | {"reason": "a new receiver"})
        assert (changed.status_code, changed.json()) == (200, made), fields
    box, endpoint = SecretBox([KEY]), service.store.database.read(find_endpoint, made["id"])
    assert [box.open(one) for one in endpoint.sealed_secrets] == [secret]
    acts = [one for one in told(service.store) if one["act"] == "endpoint.change"]
    assert len(acts) == len(steps)
    assert {one["reason"] for one in acts} == {"a new receiver"}
    assert "pa55" not in str(acts)
    assert "w0rd" not in str(acts)


def test_a_whole_number_may_be_written_with_a_point(ask):
    body = f'{{"url": "{HOOK}", "max_in_flight": 147.0}}'
    made = ask("POST", "/v1/endpoints", content=body, headers={"content-type": "application/json"})
    assert (made.status_code, made.json()["max_in_flight"]) == (201, 147)

    for written in ("147.5", "1e400", "-1.0"):
        body = f'{{"url": "{HOOK}", "max_in_flight": {written}}}'
        refused = ask("POST", "/v1/endpoints", content=body, headers={"content-type": "application/json"})
        assert refused.json()["errors"][0]["pointer"] == "#/max_in_flight"


def test_what_is_planned_goes_by_the_settings_of_the_moment(service, ask):
    endpoint = add_endpoint(ask, events=["invoice.paid"])["id"]
    pend(service.store)
    assert rows(service.store.database, DELIVERY) == []

    ask("PATCH", f"/v1/endpoints/{endpoint}", json={"events": ["invoice.*"], "accounts": [SILENT_ACCOUNT]})
    pend(service.store)
    (invoice,) = pend(service.store, account=SILENT_ACCOUNT)

    assert [row.invoice_id for row in rows(service.store.database, DELIVERY)] == [invoice]


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({}, "#/url"),
        ({"reason": "none"}, "#/url"),
        ({"url": "https://10.0.0.1/"}, "#/url"),
        ({"url": None}, "#/url"),
        ({"events": ["invoice.nothing"]}, "#/events"),
        ({"events": []}, "#/events"),
        ({"headers": {"webhook-id": "x"}}, "#/headers"),
        ({"max_in_flight": None}, "#/max_in_flight"),
        ({"accounts": ["nobody"]}, "#/accounts"),
        ({"secret": "x"}, "#/secret"),
    ],
)
def test_a_change_that_can_not_be_is_422_with_a_pointer_and_changes_nothing(ask, fields, pointer):
    made = add_endpoint(ask)
    path, _ = f"/v1/endpoints/{made['id']}", made.pop("secret")

    answered = ask("PATCH", path, json=fields)

    assert (answered.status_code, [one["pointer"] for one in answered.json()["errors"]]) == (422, [pointer])
    assert ask("GET", path).json() == made


def test_one_is_switched_off_and_on_and_removed(service, ask):
    endpoint = add_endpoint(ask)["id"]
    pend(service.store)
    off = ask("POST", f"/v1/endpoints/{endpoint}/disable", json={"reason": "a new address"}).json()
    assert (off["disabled_reason"], off["waiting"]) == ("a new address", 1)
    on = ask("POST", f"/v1/endpoints/{endpoint}/enable", json={"reason": "it is there"}).json()
    assert (on["disabled_at"], service.reset) == (None, [endpoint])
    assert ask("DELETE", f"/v1/endpoints/{endpoint}").status_code == 204
    assert ask("GET", f"/v1/endpoints/{endpoint}").status_code == 404
    assert ask("DELETE", f"/v1/endpoints/{endpoint}").status_code == 404
    assert rows(service.store.database, DELIVERY) == []


def test_a_limited_token_sees_and_makes_only_endpoints_of_its_accounts(service, ask):
    token = service.add_token(Scope.OPERATE, accounts=[ACCOUNT])
    for_all, theirs = add_endpoint(ask)["id"], add_endpoint(ask, accounts=[SILENT_ACCOUNT])["id"]
    both = add_endpoint(ask, accounts=[ACCOUNT, SILENT_ACCOUNT])["id"]
    ours = add_endpoint(ask, accounts=[ACCOUNT])["id"]
    made = ask("POST", "/v1/endpoints", json={"url": HOOK}, token=token).json()

    assert made["accounts"] == [ACCOUNT]
    seen = ask("GET", "/v1/endpoints", token=token).json()["endpoints"]
    assert [one["id"] for one in seen] == [ours, made["id"]]
    for hidden in (for_all, theirs, both):
        assert ask("GET", f"/v1/endpoints/{hidden}", token=token).status_code == 404
        assert ask("DELETE", f"/v1/endpoints/{hidden}", token=token).status_code == 404
        assert ask("PATCH", f"/v1/endpoints/{hidden}", json={"max_in_flight": 1}, token=token).status_code == 404
        body = {"endpoint": hidden}
        assert ask("POST", "/v1/replays", json=body, token=token).status_code == 404
        assert ask("GET", f"/v1/deliveries?endpoint={hidden}", token=token).status_code == 404
    other = {"url": HOOK, "accounts": [SILENT_ACCOUNT]}
    assert ask("POST", "/v1/endpoints", json=other, token=token).status_code == 403
    assert ask("PATCH", f"/v1/endpoints/{ours}", json=other, token=token).status_code == 403
    widened = ask("PATCH", f"/v1/endpoints/{ours}", json={"accounts": None}, token=token)
    assert widened.json()["accounts"] == [ACCOUNT], "as for a new one of this token"


@pytest.mark.parametrize(
    ("path", "fields", "says"),
    [
        ("/v1/replays", {"endpoint": "ep", "dead_only": "yes"}, "dead_only: must be true or false"),
        ("/v1/endpoints", {"url": HOOK, "headers": {"webhook-id": "x"}}, "headers: webhook-id may not be set"),
        ("/v1/endpoints", None, "the body must be an object, not null"),
    ],
)
def test_what_is_wrong_is_told_in_plain_words(ask, path, fields, says):
    answered = ask("POST", path, content=json.dumps(fields), headers={"content-type": "application/json"})
    assert answered.json()["detail"] == says


def test_who_may_not_is_403(service, ask):
    reader = service.add_token(Scope.READ)
    endpoint = add_endpoint(ask)["id"]

    assert ask("POST", "/v1/endpoints", json={"url": HOOK}, token=reader).status_code == 403
    assert ask("PATCH", f"/v1/endpoints/{endpoint}", json={"url": HOOK}, token=reader).status_code == 403
    assert ask("DELETE", f"/v1/endpoints/{endpoint}", token=reader).status_code == 403
    assert ask("POST", "/v1/replays", json={"endpoint": endpoint}, token=reader).status_code == 403
    assert ask("GET", "/v1/replays/rpl_none").status_code == 404
