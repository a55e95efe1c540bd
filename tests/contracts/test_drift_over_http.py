"""What is new in providers' answers, over HTTP: the same as the command prints, page by page, of one's accounts."""

from __future__ import annotations

from domain.drift import Novelty
from domain.permissions import Scope
from tests.contracts.store_cases import ACCOUNT, OPERATOR, SILENT_ACCOUNT, pend
from tests.contracts.test_drift import FIELD, WORD, bring
from workers.store.operate.drift import accept
from workers.store.reads.drift import drift_fields, list_drifts

OTHER = Novelty(SILENT_ACCOUNT, "nebulox", "word", "", "status", "frozen")


def listed(answered):
    assert answered.status_code == 200, answered.text
    return answered.json()["drift"]


def test_it_is_what_the_command_prints_and_what_was_accepted_only_where_it_is_asked_for(service, ask):
    invoices = pend(service.store, 2)
    for invoice in invoices:
        bring(service.store, invoice, WORD, FIELD)
    printed = [drift_fields(row) for row in service.store.database.read(list_drifts)]
    assert listed(ask("GET", "/v1/drift")) == printed
    assert sorted((str(one["kind"]), one["invoices"]) for one in printed) == [("field", 2), ("word", 2)]
    accept(service.store, OPERATOR, [int(str(printed[0]["id"]))])
    assert listed(ask("GET", "/v1/drift?state=open")) == printed[1:]
    everything = listed(ask("GET", "/v1/drift?state=all"))
    assert [one["accepted_at"] is None for one in everything] == [False, True]
    assert ask("GET", "/v1/drift?state=accepted").status_code == 400


def test_it_comes_page_by_page_newest_first(service, ask):
    (invoice,) = pend(service.store)
    bring(service.store, invoice, *(WORD._replace(value=f"word_{number}") for number in range(5)))
    first = ask("GET", "/v1/drift?limit=3")
    second = ask("GET", first.links["next"]["url"])
    found = listed(first) + listed(second)
    assert [one["id"] for one in found] == sorted((one["id"] for one in found), reverse=True)
    assert len({one["value"] for one in found}) == 5
    assert (first.json()["next"], second.json()["next"]) == (str(found[2]["id"]), None)


def test_a_limited_token_sees_its_accounts_only_and_one_for_orders_nothing(service, ask):
    (ours,), (theirs,) = pend(service.store), pend(service.store, account=SILENT_ACCOUNT)
    bring(service.store, ours, WORD)
    bring(service.store, theirs, OTHER)
    token = service.add_token(Scope.READ, accounts=[ACCOUNT])
    assert [one["value"] for one in listed(ask("GET", "/v1/drift"))] == ["frozen", "aml_hold"]
    assert [one["value"] for one in listed(ask("GET", "/v1/drift", token=token))] == ["aml_hold"]
    assert [one["value"] for one in listed(ask("GET", f"/v1/drift?account={SILENT_ACCOUNT}"))] == ["frozen"]
    assert ask("GET", f"/v1/drift?account={SILENT_ACCOUNT}", token=token).status_code == 403
    assert ask("GET", "/v1/drift", token=service.add_token(Scope.ORDERS)).status_code == 403
