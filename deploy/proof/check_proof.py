#!/usr/bin/env python3
"""python3 check_proof.py PROOF [--hash THE-TOP-HASH-AS-YOU-KEPT-IT] [--received YOUR-COPIES-OF-WEBHOOKS, a body a line]
Checks a file of `invoices prove`: that it is whole, and that what it says fits together. Python 3.9 or newer, alone."""

import json
import sys
from collections import defaultdict
from decimal import Decimal, getcontext
from hashlib import sha256

ON = {"partially_paid", "confirming", "paid", "failed", "expired", "cancelled"}
MAY = {"queued": (NEW := ON | {"pending"}), "in_doubt": NEW, "pending": ON, "partially_paid": ON, "paid": {"refunded"}}
MAY.update(confirming=NEW - {"partially_paid", "confirming"}, expired={"confirming", "paid"})
TOLD = "type sequence by act kind verdict word state status outcome amount asset url error reason note detail content"


def need(holds, what):
    if not holds:
        raise ValueError(what)


def parse(raw):
    once = {"object_pairs_hook": lambda some: need(len(dict(some)) == len(some), "a name stands twice") or dict(some)}
    return json.loads(raw.decode(), parse_int=str, parse_float=str, parse_constant=str, **once)


def read(data):
    (*lines, end, rest), top, of = data.split(b"\n"), None, defaultdict(list)
    for n, raw in enumerate(lines, 1):
        one = parse(raw)
        need((one["n"], one["prior"]) == (str(n), top), f"line {n}: it, or the line before, is not what it was")
        body = raw[-1 - int(one.get("bytes", 0)) : -1]
        need("body" not in one or [parse(body), sha256(body).hexdigest()] == [one["body"], one["sha256"]], f"line {n}")
        of[one["record"]].append(one)
        top = sha256(raw).hexdigest()
    need((end, rest) == (b'{"top":"%s"}' % str(top).encode(), b""), "the end is missing, or not the hash of all before")
    return of, top


def check_history(of, order, now, stands, missing):
    text, last, status, gaps = (order["content"] or "null").encode(), 0, "queued", []
    same = all((parse(text) or now)[name] == now[name] for name in ("account", "order_id", "metadata"))
    need(same and (text == b"null" or sha256(text).hexdigest() == order["digest"]), "something else was ordered")
    for one in of["event"]:
        said, data, new = one["body"], one["body"]["data"], int(one["sequence"])
        same = said["id"], said["type"], said["sequence"], said["subject"], data["id"], data["sequence"]
        need(same == (one["id"], one["type"], f"{new:012}", now["id"], now["id"], str(new)), f"event {new} is another")
        if new not in [last + 1, *(int(each["epoch"]) * 1_000_000 + 1 for each in of["restored"])]:
            gaps, status = [*gaps, [str(last), str(new)]], None
        before, after, kind = data["previous_status"], data["status"], one["type"][8:]
        need(status in (None, before) or (status, before) == ("queued", "in_doubt"), f"event {new}: it wasn't {before}")
        can = before == after if kind == "contradiction" else kind == after and after in MAY.get(before, ())
        need(can and new > last, f"event {new}: {before} does not become {after}")
        last, status = new, after
    if str(last) != now["sequence"]:
        gaps, status = [*gaps, [str(last), str(int(now["sequence"]) + 1)]], None
    need(gaps == [[one["after"], one["before"]] for one in missing if one["what"] == "events"], "events are missing")
    need(status in (None, now["status"]) or (last, now["status"]) == (0, "in_doubt"), "the invoice has another status")
    changed = [name for name in now if data.get(name, data) != now[name]] if last and status else None
    need(changed == stands["changed_since_last_event"], "the invoice is not as its last event told it")


def check_parts(of, now, stands, received):
    told, total, paid = {one["id"]: one for one in of["event"]}, defaultdict(Decimal), now["paid_amount"]
    for text in [paid or "0"] + [one["amount"] or "0" for one in of["payment"] + stands["sums"]]:
        need(text.isascii() and text.replace(".", "", 1).isdigit() and len(text) < 99, f"{text[:99]} is no amount")
    for one in of["payment"]:
        total[one["kind"], one["asset"]] += Decimal(one["amount"] or 0)
    need(total == {(one["kind"], one["asset"]): Decimal(one["amount"]) for one in stands["sums"]}, "the sums are wrong")
    come = sum((amount for (kind, _), amount in total.items() if kind == "payment"), Decimal(0))
    need((paid is None or Decimal(paid) == come) == stands["payments_add_up"], "payments don't come to what is paid")
    tried = {(one["delivery_id"], one["outcome"]) for one in of["attempt"]}
    for one in of["delivery"]:
        need(one["sequence"] == told[one["event_id"]]["sequence"], f"delivery {one['id']} is of another event")
        need(one["state"] != "delivered" or (one["id"], "delivered") in tried, f"delivery {one['id']} was not taken")
    need({one for one, _ in tried} <= {one["id"] for one in of["delivery"]}, "an attempt is of no delivery")
    for one in (one for one in of["callback"] if not one["masked"]):
        need(sha256(one["raw"].encode("utf-8", "surrogateescape")).hexdigest() == one["digest"], "a callback differs")
    gone, here = any(one["what"] == "events" for one in of["end"][0]["missing"]), {one["sha256"] for one in of["event"]}
    for body in (line for line in received.split(b"\n") if line and parse(line).get("subject") == now["id"]):
        need(sha256(body).hexdigest() in here or (gone and parse(body)["id"] not in told), "a webhook of yours differs")


if __name__ == "__main__":
    getcontext().prec, given = 200, dict(zip(sys.argv[2::2], sys.argv[3::2]))
    if len(sys.argv) % 2 or sys.argv[1].startswith("-") or not given.keys() <= {"--hash", "--received"}:
        sys.exit(__doc__)
    try:
        of, top = read(open(sys.argv[1], "rb").read(200_000_000))
        (head,), (order,), (stands,), (end,) = (of[name] for name in ("proof", "order", "invoice", "end"))
        need((given.get("--hash", top), head["version"]) == (top, "1"), f"its hash is {top}, or its release another")
        check_history(of, order, stands["body"], stands, end["missing"])
        check_parts(of, stands["body"], stands, open(given.get("--received", sys.argv[1]), "rb").read(200_000_000))
    except Exception as error:
        sys.exit("BAD  " + ascii(str(error) or error)[1:-1])
    for one in sorted((one for some in of.values() for one in some if one.get("at")), key=lambda one: str(one["at"])):
        told = [str(each) for each in map({**one.get("body", {}), **one}.get, TOLD.split()) if each]
        sys.stdout.buffer.write(repr(f"{one['at']}  {one['record']:8}  {' '.join(told)}")[1:-1].encode() + b"\n")
    sys.stdout.write("".join(f"MISSING  {one!a}\n" for one in end["missing"]))
    print(f"ok {end['n']} records\nok order, events, amounts, webhooks\n{('??', 'ok')['--hash' in given]} hash {top}")
