"""What hides itself is shown: on terminals, in logs, in JSON Lines, in events; and refused where it means nothing."""

from __future__ import annotations

import io
import json
import re
import sys
import unicodedata
from datetime import UTC, datetime

import pytest
import structlog

from config.logging import configure_logging
from domain.event import notice
from domain.order import OrderError, parse_cancellation, parse_order
from domain.visible import MEANINGFUL, escape, escape_all, why_meaningless
from workers.cli.main import run
from workers.cli.output import print_json
from workers.cli.streams import safe_streams
from workers.cli.text import shown

NASTY = [
    "\x85",
    "\x9b31m",
    "\x7f",
    "\u2028",
    "\u2029",
    "\u202e",
    "\u2066",
    "\u061c",
    "\u200f",
    "\ufeff",
    "\u200b",
    "\u00ad",
]
TAG = "\U000e0041"
FINE = ["Café", "заказ-7", "注文", "نعم", "👩\u200d🚀", "क\u200dष", "a b", "é" * 3]


def written(stream):
    stream.flush()
    return stream.buffer.getvalue()


def unsafe_characters():
    return [
        chr(number)
        for number in range(0x7F, sys.maxunicode + 1)
        if unicodedata.category(chr(number)) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
    ]


def test_every_control_and_format_character_that_unicode_has_is_escaped():
    assert [character for character in unsafe_characters() if escape(character) == character] == []


@pytest.mark.parametrize("text", [*NASTY, TAG, "\ud800"])
def test_an_escaped_text_is_ascii_and_json_reads_it_back(text):
    assert escape(text).isascii()
    assert json.loads(f'"{escape(text)}"') == text


@pytest.mark.parametrize("text", ["plain", "Café", "注文 👍", "tab\tline\n"])
def test_other_text_stays_as_it_is(text):
    assert escape(text) == escape_all(text) == text


@pytest.mark.parametrize("field", ["order_id", "idempotency_key", "pay_currency", "network"])
@pytest.mark.parametrize("hidden", [*NASTY, TAG])
def test_an_order_whose_ids_hide_something_is_refused_with_the_reason(hidden, field):
    order = {"account": "a", "order_id": "order-1", "price": "1", "currency": "EUR"} | {field: f"o{hidden}1"}
    with pytest.raises(OrderError, match=rf"{field}: must not contain .* \(U\+{ord(hidden[0]):04X}\)"):
        parse_order(order)


def test_a_cancellation_whose_reason_turns_text_around_is_refused():
    with pytest.raises(OrderError, match=r"reason: .*direction of text \(U\+202E\)"):
        parse_cancellation({"account": "a", "order_id": "o", "reason": "\u202edlos"})


@pytest.mark.parametrize("order_id", FINE)
def test_ids_of_other_scripts_are_taken(order_id):
    assert parse_order({"account": "a", "order_id": order_id}).order_id == order_id
    assert why_meaningless(order_id) is None


def test_metadata_may_hold_anything_and_its_event_is_one_line():
    body = notice("evt_1", "invoices.test", datetime(2026, 1, 1, tzinfo=UTC), {"note": "a\u2028b\u202ec\x85"})
    assert len(body.decode().splitlines()) == 1
    assert json.loads(body)["data"]["note"] == "a\u2028b\u202ec\x85"


@pytest.mark.parametrize("log_format", ["console", "json"])
@pytest.mark.parametrize("text", [*NASTY, TAG, "\x1b[2J", "\x07", "\x00"])
def test_no_log_line_holds_them_raw(own_logging, log_format, text):
    out = io.StringIO()
    configure_logging(log_format, "info", out)
    structlog.get_logger().info("order.taken", order_id=f"o{text}1", more=[f"x{text}"], **{f"k{text}": 1})
    line = out.getvalue()
    assert len(line.rstrip("\n").splitlines()) == 1
    assert text[0] not in line
    assert "order.taken" in line


@pytest.mark.parametrize("text", [*NASTY, TAG])
def test_a_stream_of_the_command_holds_them_escaped(capsys, text):
    with safe_streams():
        print(f"cancelled o{text}1")
        print_json({"order_id": f"o{text}1"})
    said, document = capsys.readouterr().out.split("\n")[:2]
    assert said == f"cancelled o{escape(text)}1"
    assert document.isascii()
    assert json.loads(document) == {"order_id": f"o{text}1"}


@pytest.mark.parametrize("text", [*NASTY, TAG, "\x1b]0;title\x07", "\u00a0"])
def test_a_cell_of_a_table_shows_them(text):
    assert shown(f"a{text}").isprintable()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437"])
def test_a_terminal_that_is_not_utf_8_gets_replacements(monkeypatch, encoding, fresh_invoices, add_order):
    add_order("注文-7 Café")
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding=encoding) for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    assert run(["list"]) == 0
    assert run(["show", "nobody注knows"]) == 1
    out, err = (written(stream).decode(encoding) for stream in streams.values())
    assert "??-7 " in out
    assert "nobody?knows" in err


def test_json_is_utf_8_whatever_the_terminal_is(monkeypatch, fresh_invoices, add_order):
    add_order("注文")
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    assert run(["list", "--json"]) == 0
    assert json.loads(written(stream))["order_id"] == "注文"


def test_the_schema_refuses_what_is_refused():
    for character in map(chr, range(0x10000)):
        why = why_meaningless(f"a{character}b")
        if re.search(MEANINGFUL, f"a{character}b"):
            assert why is None or why.startswith("halves of characters"), hex(ord(character))
        else:
            assert why is not None, hex(ord(character))
