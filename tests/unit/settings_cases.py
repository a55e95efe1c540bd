"""What the tests of settings share."""

from __future__ import annotations

import json

KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
OTHER_KEY = "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXowMTIzNDU="


def account(**fields):
    return json.dumps({"shop": {"provider": "nebulox", "base_url": "https://pay.example", "api_key": "k1", **fields}})
