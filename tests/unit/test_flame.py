"""Flame graphs: shares that add up, and no path of the machine they were made on."""

from __future__ import annotations

import pytest

from tests.bench.flame import drawing, plain_name, read_stacks

STACKS = [
    'thread (0x7F12): "pump";_run (/home/somebody/invoices/workers/engine.py:12);claim (workers/store/agenda.py:9) 60',
    'thread (0x7F12): "pump";_run (/home/somebody/invoices/workers/engine.py:12);<lambda> (a<b.py:3) 39',
    'thread (0x7F13): "rare" 1',
    "",
]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("claim (/home/somebody/main/workers/store/agenda.py:9)", "claim workers/store/agenda.py"),
        ("get (/x/.venv/lib/python3.11/site-packages/redis/client.py:1)", "get redis/client.py"),
        ("run (/usr/lib/python3.11/asyncio/runners.py)", "run asyncio/runners.py"),
        ("step (celery/app/trace.py:5)", "step celery/app/trace.py"),
        ('thread (0x7F12AB): "pump"', 'thread "pump"'),
        ("poll", "poll"),
    ],
)
def test_names_keep_the_module_and_lose_the_machine(text, plain):
    assert plain_name(text) == plain


def test_the_drawing_is_small_xml_without_machine_paths():
    text = drawing(read_stacks(STACKS), "create")
    assert "/home/" not in text
    assert "_run workers/engine.py, 99.0%" in text
    assert "claim workers/store/agenda.py, 60.0%" in text
    assert "&lt;lambda&gt;" in text
    assert text.count("<g>") == text.count("</g>") == 6
