"""`make check` runs this; `python -m tests.supply --write` makes the list of licences anew."""

from __future__ import annotations

import sys

from tests.supply import licences, pins, secrets

if sys.argv[1:] == ["--write"]:
    text, wrong = licences.render()
    licences.LIST.write_text(text)
else:
    wrong = [*pins.faults(), *licences.faults(), *secrets.faults()]
for fault in wrong:
    print(fault, file=sys.stderr)
if wrong:
    sys.exit(1)
print("supply: pins, known-bad versions, licences and secrets are in order")
