"""The receiver kit: `invoices receiver-check` against the receiver of the README, and against receivers that err."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tests.contracts.faulty_shops import (
    SECRET,
    AcceptsAnything,
    CatchesOneErrorOnly,
    ChecksNoTime,
    DawdlesOnce,
    DawdlesOverStrangers,
    HasAnotherSecret,
    KnowsItsTypesOnly,
    LooksTheOrderUp,
    NeedsASequence,
    NeedsASubject,
    NeedsEverySequence,
    ReadsTheFirstSignatureOnly,
    Redirects,
    RefusesRepeats,
    SaysGoneToStrangers,
    SendsStrangersToALogin,
    Shop,
    TakesSmallBodiesOnly,
    Talks,
    VerifiesWhatItParsed,
    open_shop,
)
from workers.delivery.receiver_check import check_receiver
from workers.delivery.receiver_plays import PLAYS
from workers.delivery.receiver_scene import Scene
from workers.delivery.webhook import WebhookSender
from workers.http.address import AddressGuard

ROOT = Path(__file__).parents[2]
RECEIVERS = ROOT / "deploy" / "receivers"
TAKEN = [play.name for play in PLAYS if play.expected == "taken"]
REFUSED = [play.name for play in PLAYS if play.expected == "refused"]


def findings_for(shop, *, total_seconds=15, **options):
    async def play(url):
        async with WebhookSender(AddressGuard("127.0.0.1"), total_seconds=total_seconds) as sender:
            return [finding async for finding in check_receiver(sender, Scene(url, SECRET), **options)]

    with open_shop(shop) as url:
        return asyncio.run(play(url))


def named(findings, verdict):
    return [finding.check for finding in findings if finding.verdict == verdict]


@pytest.mark.parametrize(
    ("shop", "wrong", "warnings"),
    [
        (Shop, [], []),
        (AcceptsAnything, REFUSED, []),
        (RefusesRepeats, ["duplicate", "replay", "no-sequence"], []),
        (ChecksNoTime, ["old-timestamp", "future-timestamp"], []),
        (ReadsTheFirstSignatureOnly, ["rotation"], []),
        (VerifiesWhatItParsed, ["raw-body"], []),
        (TakesSmallBodiesOnly, ["large-event"], []),
        (NeedsEverySequence, ["gap"], []),
        (KnowsItsTypesOnly, ["unknown-type"], []),
        (NeedsASequence, ["test-event", "no-sequence"], []),
        (NeedsASubject, ["no-sequence"], []),
        (CatchesOneErrorOnly, [], ["garbled-signature"]),
        (SendsStrangersToALogin, [], REFUSED),
        (SaysGoneToStrangers, [], REFUSED),
        (Talks, [], ["answer-size"]),
    ],
)
def test_each_fault_is_reported_and_no_other(shop, wrong, warnings):
    findings = findings_for(shop(), slow_ms=60_000)
    assert (named(findings, "wrong"), named(findings, "warning")) == (wrong, warnings)
    assert named(findings, "skipped") == []
    assert all(finding.advice for finding in findings if finding.verdict != "ok")
    assert not any(finding.advice for finding in findings if finding.verdict == "ok")


@pytest.mark.parametrize(
    ("shop", "came", "advice"),
    [
        (Redirects, "308, redirects are not followed", "register the URL"),
        (HasAnotherSecret, "401", "this endpoint's secret"),
        (LooksTheOrderUp, "404", "orders you don't know"),
    ],
)
def test_where_the_good_event_is_not_taken_the_rest_is_not_played(shop, came, advice):
    receiver = shop()
    findings = findings_for(receiver)
    assert named(findings, "wrong") == ["good-event"]
    assert named(findings, "skipped") == [play.name for play in PLAYS[1:]]
    assert findings[0].came == came
    assert advice in str(findings[0].advice)
    assert receiver.paths == ["/hook"], "no redirect was followed, nothing else was sent"


def test_nobody_listening_is_one_fault_with_its_reason():
    with open_shop(Shop()) as url:
        pass

    async def play():
        async with WebhookSender(AddressGuard("127.0.0.1")) as sender:
            return [finding async for finding in check_receiver(sender, Scene(url, SECRET))]

    findings = asyncio.run(play())
    assert named(findings, "wrong") == ["good-event"]
    assert findings[0].came.startswith("connect: ")
    assert named(findings, "ok") == named(findings, "warning") == []


def test_an_answer_that_is_slow_is_a_warning_with_its_time():
    findings = findings_for(Shop(), slow_ms=-1)  # any answer is slower than this
    assert (named(findings, "wrong"), named(findings, "warning")) == ([], ["answer-time"])
    assert re.fullmatch(r"[0-9]+ ms", findings[-2].came)


def test_an_answer_that_comes_too_late_is_a_fault_of_that_event_alone():
    findings = findings_for(DawdlesOnce(), total_seconds=3)
    assert named(findings, "wrong") == ["unknown-type"]
    assert named(findings, "skipped") == []
    late = next(finding for finding in findings if finding.verdict == "wrong")
    assert late.came == "timeout: no complete answer within 3 s"
    assert "at once" in str(late.advice)


def test_a_receiver_that_keeps_timing_out_is_not_waited_for_to_the_end():
    findings = findings_for(DawdlesOverStrangers(), total_seconds=3)
    assert named(findings, "wrong") == REFUSED[:2]
    assert named(findings, "skipped") == [play.name for play in PLAYS[PLAYS.index(_play(REFUSED[1])) + 1 :]]


def _play(name):
    return next(play for play in PLAYS if play.name == name)


def test_what_is_sent_is_what_the_sender_sends_and_the_forgeries_differ_from_it_in_one_point():
    """The official library takes each event that is to be taken, and none of the others."""
    scene = Scene("https://shop.example/hook", SECRET)
    for play in PLAYS:
        for message in play.build(scene):
            headers = dict(message.headers or scene.headers(message.outgoing))
            assert len(message.outgoing.body) < 20_000
            if play.expected == "taken" and play.name != "rotation":
                assert Webhook(SECRET).verify(message.outgoing.body, headers)["specversion"] == "1.0"
            elif play.expected == "refused" and play.name != "wrong-key":  # those two sign with keys of their own
                with pytest.raises((WebhookVerificationError, ValueError)):
                    Webhook(SECRET).verify(message.outgoing.body, headers)


def test_no_invoice_of_the_check_is_ever_paid():
    scene = Scene("https://shop.example/hook", SECRET)
    bodies = [json.loads(message.outgoing.body) for play in PLAYS for message in play.build(scene)]
    assert not any(body["type"] == "invoice.paid" or body["data"].get("status") == "paid" for body in bodies)


def test_the_secret_is_in_no_repr():
    scene = Scene("https://shop.example/hook?token=abc", SECRET)
    shown = repr(scene) + "".join(repr(message) for play in PLAYS for message in play.build(scene))
    assert SECRET not in shown
    assert "token=abc" not in shown


# --- the command, and the receiver of the README, as processes ---------------------------------------------------


@contextmanager
def run_receiver():
    """`receiver.py` as a shop would start it; gives its URL and, afterwards, what it printed."""
    process = subprocess.Popen(
        [sys.executable, RECEIVERS / "receiver.py"],
        env=os.environ | {"WEBHOOK_SECRET": SECRET, "PORT": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    printed: list[str] = []
    try:
        assert process.stdout is not None
        yield process.stdout.readline().removeprefix("receiving on ").strip(), printed
    finally:
        process.terminate()
        printed += process.communicate(timeout=120)[0].splitlines()


def receiver_check(home, url, *arguments, secret=SECRET):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("INVOICES_")}
    return subprocess.run(
        [sys.executable, "-m", "workers.cli", "receiver-check", url, *arguments],
        cwd=ROOT,
        env=kept | {"WEBHOOK_SECRET": secret, "INVOICES_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_the_receiver_of_the_readme_passes_and_handles_each_event_once(tmp_path):
    with run_receiver() as (url, printed):
        done = receiver_check(tmp_path / "home", url, "--allow", "127.0.0.1", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (0, "")
    assert [line["check"] for line in lines] == [*(play.name for play in PLAYS), "answer-time", "answer-size"]
    assert {line["verdict"] for line in lines if line["check"] != "answer-time"} == {"ok"}
    looks = ["duplicate", "interleaved", "gap", "replay", "no-sequence"]
    assert [line["check"] for line in lines if line["look"]] == looks
    assert len(printed) == len(set(printed)) == 1 + 5 + 2 + 5 + 2, "every event once, nothing forged"
    assert "system.restored None None" in printed
    assert not (tmp_path / "home").exists(), "no database, no broker, no key was made"


def test_the_command_shows_a_table_with_advice_and_fails(tmp_path):
    with open_shop(ChecksNoTime()) as url:
        done = receiver_check(tmp_path, url, "--allow", "127.0.0.1")
    assert done.returncode == 1
    assert done.stderr == "invoices: 2 of 23 checks failed: each line's advice says what to change\n"
    wrong = [line for line in done.stdout.splitlines() if line.startswith("wrong")]
    assert len(wrong) == 2
    assert all("compare webhook-timestamp with your clock" in line for line in wrong)
    assert "Look for yourself" in done.stdout
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("url", "arguments", "secret", "said"),
    [
        ("http://127.0.0.1:9/", (), SECRET, "invoices: url: 127.0.0.1, which is not a public address (loopback)\n"),
        ("http://shop.example/", (), SECRET, "--allow or INVOICES_WEBHOOK_ALLOW lists exceptions)\n"),
        ("https://shop.example/", ("--allow", "1.2.3/4"), SECRET, "invoices: --allow: '1.2.3/4' is not host"),
        ("https://shop.example/", (), "whsec_not base64", "invoices: --secret: is not whsec_ and base64"),
    ],
    ids=["private-address", "plain-http", "allow-list", "secret"],
)
def test_what_can_be_known_before_is_said_in_one_line(tmp_path, url, arguments, secret, said):
    done = receiver_check(tmp_path, url, *arguments, secret=secret)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert secret not in done.stderr


# --- the examples ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["receiver.py", "receiver.mjs"])
def test_the_examples_are_short(name):
    assert len((RECEIVERS / name).read_text().splitlines()) < 50


@pytest.mark.parametrize("name", ["receiver.py", "receiver.mjs"])
def test_the_readme_leads_to_the_examples(name):
    assert f"(deploy/receivers/{name})" in (ROOT / "README.md").read_text()
