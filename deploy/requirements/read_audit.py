"""Reads pip-audit's answer: `read_audit.py EXIT_CODE ANSWER.json`. Exit 1 when a pin is known to be vulnerable."""

from __future__ import annotations

import json
import sys
from pathlib import Path

NOBODY = "audit: no vulnerability service was asked: {} (the kept list, known-bad.txt, was checked)"


def read(code: int, text: str) -> tuple[int, str]:
    """The exit code, and what to say. No answer that can be read means that nobody was asked."""
    try:
        found = json.loads(text)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return 0, NOBODY.format("it took too long" if code == 124 else "it did not answer")
    bad = [
        f"{pin['name']} {pin['version']}: {issue['id']}, mended in {', '.join(issue['fix_versions']) or 'no version'}"
        for pin in found
        for issue in pin.get("vulns", ())
    ]
    asked = sum("skip_reason" not in pin for pin in found)
    if bad:
        return 1, "\n".join(f"audit: {line}" for line in bad)
    if not asked:
        return 0, NOBODY.format("the one within reach knows none of the pins")
    return 0, f"audit: no known vulnerability in the {asked} of {len(found)} pins that the service knew"


if __name__ == "__main__":
    exit_code, said = read(int(sys.argv[1]), Path(sys.argv[2]).read_text())
    sys.stdout.write(said + "\n")
    sys.exit(exit_code)
