"""Whatever is changed in a proof, the script refuses it; whoever makes all hashes anew is caught by the kept one."""

from __future__ import annotations

import copy
import hashlib
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.evidence import CalledBack, InDoubt
from domain.status import Status
from tests.contracts.store_cases import OPERATOR, judge, open_store, order, seen, subscribe, take
from tests.migrated import new_sqlite_url, open_hasty
from tests.proofs import CHECKER, check, forge, prove, read, top_of
from workers.store.callbacks import NewCallback
from workers.store.deliveries import DeliveryAttempt
from workers.store.operate.invoices import Mark, mark

QUICK = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def proof(tmp_path_factory):
    """Of an invoice to which much has happened."""
    database = open_hasty(new_sqlite_url(tmp_path_factory.mktemp("proof")))
    store, endpoint = open_store(database), subscribe(database)
    (invoice_id,) = take(store, order("o-1", metadata={"cart": [1, "ä"]}))
    body: dict[str, Any] = {"body": b"x", "digest": hashlib.sha256(b"x").hexdigest()}
    told: dict[str, Any] = {"headers": "{}", "order_id": "o-1", "reference": None, "word": "PAID", "amount": Decimal(1)}
    store.keep_callbacks([NewCallback(account="zeroxhost", **body, **told)])
    judge(store, invoice_id, InDoubt(reason="reset", raw="<html>"))
    judge(store, invoice_id, seen("pending", provider_ref="ref-1"))
    judge(store, invoice_id, seen("partially_paid", paid_amount=Decimal("0.25"), pay_currency="BTC", tx_hash="aa"))
    judge(store, invoice_id, CalledBack(status=Status.CONFIRMING, word="SOON"))
    judge(store, invoice_id, seen("paid", paid_amount=Decimal("1.50"), pay_currency="BTC", tx_hash="bb"))
    while claimed := store.claim_deliveries(endpoint, 10, 60):
        for outcome, wait in (("failed", 60.0), ("delivered", None)):
            said: dict[str, Any] = {"outcome": outcome, "status": 200, "answer": b"ok", "wait_seconds": wait}
            store.settle([DeliveryAttempt(one, **said) for one in claimed])
    mark(store, OPERATOR, invoice_id, Mark(Status.REFUNDED, Decimal("1.50")))
    made = prove(database, invoice_id)
    database.close()
    return made


def test_as_it_was_written_it_holds(proof, tmp_path):
    kinds = [one["record"] for one in read(proof)]
    assert set(kinds) == {
        *("proof", "order", "act", "callback", "evidence", "payment"),
        *("event", "delivery", "attempt", "invoice", "end"),
    }
    assert check(tmp_path, proof) == ""
    assert forge(proof, lambda _: None) == proof


@QUICK
@given(st.data())
def test_no_byte_can_be_changed(proof, tmp_path, data):
    place = data.draw(st.integers(0, len(proof) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != proof[place]))
    changed = proof[:place] + bytes([other]) + proof[place + 1 :]
    assert check(tmp_path, changed).startswith("BAD  ")


@QUICK
@given(st.data())
def test_no_byte_can_be_taken_out_or_put_in(proof, tmp_path, data):
    place = data.draw(st.integers(0, len(proof) - 1))
    put_in = data.draw(st.binary(max_size=3))
    changed = proof[:place] + put_in + proof[place + (not put_in) :]
    assert check(tmp_path, changed).startswith("BAD  ")


@QUICK
@given(st.data())
def test_no_line_can_be_left_out_doubled_or_moved(proof, tmp_path, data):
    lines = proof.splitlines(keepends=True)
    place, other = (data.draw(st.integers(0, len(lines) - 1)) for _ in range(2))
    way = data.draw(st.sampled_from(["out", "twice", "swapped", "cut"]))
    changed = list(lines)
    if way == "out":
        del changed[place]
    elif way == "twice":
        changed.insert(other, lines[place])
    elif way == "swapped":
        changed[place], changed[other] = lines[other], lines[place]
    else:
        changed = changed[:place]
    if changed != lines:
        assert check(tmp_path, b"".join(changed)).startswith("BAD  ")


@QUICK
@given(st.binary(max_size=200))
def test_what_is_no_proof_is_refused(tmp_path, content):
    assert check(tmp_path, content).startswith("BAD  ")


def of(records, kind, place=0):
    return [one for one in records if one["record"] == kind][place]


def data_of(records, place):
    return of(records, "event", place)["body"]["data"]


FORGED = {
    "the price of the order": lambda them: of(them, "order").update(
        content=of(them, "order")["content"].replace("10.5", "11.5")
    ),
    "metadata": lambda them: of(them, "invoice")["body"].update(metadata={"cart": [2]}),
    "a part of what was paid": lambda them: of(them, "payment").update(amount="0.26"),
    "an amount that is none": lambda them: of(them, "payment").update(amount="1e1"),
    "what is paid": lambda them: of(them, "invoice")["body"].update(paid_amount="1.51"),
    "a sum": lambda them: of(them, "invoice")["sums"][0].update(amount="1.51"),
    "a payment left out": lambda them: them.remove(of(them, "payment")),
    "a payment twice": lambda them: them.insert(9, copy.deepcopy(of(them, "payment"))),
    "an event left out": lambda them: them.remove(of(them, "event", 1)),
    "an event twice": lambda them: them.insert(them.index(of(them, "event", 1)), copy.deepcopy(of(them, "event", 1))),
    "the last event left out": lambda them: them.remove(of(them, "event", -1)),
    "events in another order": lambda them: them.insert(0, them.pop(them.index(of(them, "event", 1)))),
    "another status of an event": lambda them: data_of(them, 0).update(status="expired"),
    "another status before an event": lambda them: data_of(them, 1).update(previous_status="confirming"),
    "another type of an event": lambda them: of(them, "event").update(type="invoice.paid"),
    "another id of an event": lambda them: of(them, "event").update(id="evt_other"),
    "an event of another invoice": lambda them: of(them, "event")["body"].update(subject="inv_other"),
    "the amount in the last event": lambda them: data_of(them, -1).update(paid_amount="2"),
    "a status of the invoice": lambda them: of(them, "invoice")["body"].update(status="failed"),
    "a delivery of no event": lambda them: of(them, "delivery").update(event_id="evt_other"),
    "a delivery that was never taken": lambda them: [
        them.remove(one) for one in list(them) if one["record"] == "attempt" and one["outcome"] == "delivered"
    ],
    "an attempt of no delivery": lambda them: of(them, "attempt").update(delivery_id=999),
    "a callback": lambda them: of(them, "callback").update(raw="y"),
    "two invoices": lambda them: them.insert(-1, copy.deepcopy(of(them, "invoice"))),
    "no end": lambda them: them.pop(),
    "another release": lambda them: of(them, "proof").update(version=2),
}


@pytest.mark.parametrize("name", FORGED)
def test_who_makes_all_hashes_anew_has_to_make_it_fit_too(proof, tmp_path, name):
    assert check(tmp_path, forge(proof, FORGED[name])).startswith("BAD  ")


def test_a_forgery_that_fits_is_found_by_the_hash_that_was_kept(proof, tmp_path):
    """What a source said nobody can check who does not ask it."""
    forged = forge(proof, lambda them: of(them, "evidence").update(raw="something else"))
    assert check(tmp_path, forged) == ""
    assert check(tmp_path, forged, "--hash", top_of(forged)) == ""
    assert "its hash is" in check(tmp_path, forged, "--hash", top_of(proof))
    assert check(tmp_path, proof, "--hash", top_of(proof)) == ""


def test_what_you_got_yourself_is_compared_byte_for_byte(proof, tmp_path):
    bodies = [line[line.index(b',"body":') + 8 : -1] for line in proof.splitlines() if b'"record":"event"' in line]
    mine = tmp_path / "mine.jsonl"
    mine.write_bytes(b"\n".join([*bodies, b'{"id":"evt_x","subject":"inv_other"}', b'{"id":"evt_y"}', b""]))
    assert check(tmp_path, proof, "--received", str(mine)) == ""
    mine.write_bytes(bodies[0].replace(b"pending", b"pendinG"))
    assert check(tmp_path, proof, "--received", str(mine)).startswith("BAD  ")
    without = forge(proof, lambda them: of(them, "event", 0)["body"].update(extra=1))
    mine.write_bytes(bodies[0])
    assert "a webhook of yours differs" in check(tmp_path, without, "--received", str(mine))


def test_what_retention_removed_here_you_may_still_have(proof, tmp_path):
    first = next(line for line in proof.splitlines() if b'"record":"event"' in line)
    mine = tmp_path / "mine.jsonl"
    mine.write_bytes(first[first.index(b',"body":') + 8 : -1])

    def remove(them):
        event = of(them, "event")
        for one in list(them):
            if one["record"] in {"event", "delivery", "attempt"} and one.get("sequence") == event["sequence"]:
                them.remove(one)
        of(them, "end")["missing"].append({"what": "events", "after": 0, "before": 2, "why": "removed by retention"})

    without = forge(proof, remove)
    assert check(tmp_path, without) == ""
    assert check(tmp_path, without, "--received", str(mine)) == ""
    mine.write_bytes(mine.read_bytes().replace(b"evt_", b"evt-"))
    assert check(tmp_path, proof, "--received", str(mine)).startswith("BAD  ")


@pytest.mark.parametrize("changed", [False, True])
def test_any_python_runs_it_alone(proof, tmp_path, changed):
    path = tmp_path / "proof.jsonl"
    path.write_bytes(proof.replace(b"reset", b"lost!", 1) if changed else proof)
    script = [sys.executable, "-I", "-S", str(CHECKER)]
    ran = subprocess.run([*script, str(path)], capture_output=True, check=False, env={"LC_ALL": "C"}, timeout=60)
    assert ran.returncode == int(changed)
    if changed:
        assert ran.stderr.startswith(b"BAD  line ")
        assert ran.stdout == b""
    else:
        assert ran.stdout.decode().splitlines()[-3:] == [
            f"ok {len(read(proof))} records",
            "ok order, events, amounts, webhooks",
            f"?? hash {top_of(proof)}",
        ]
        kept = subprocess.run(
            [*script, str(path), "--hash", top_of(proof)], capture_output=True, check=True, timeout=60
        )
        assert kept.stdout.decode().splitlines()[-1] == f"ok hash {top_of(proof)}"
    usage = subprocess.run([*script, str(path), "--what"], capture_output=True, check=False, timeout=60)
    assert (usage.returncode, usage.stderr.startswith(b"python3 check_proof.py")) == (1, True)
