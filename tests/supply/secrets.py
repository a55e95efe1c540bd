"""Looks for secrets in every file that Git keeps.

Forms that are secrets and nothing else, our own among them, instead of entropy: a general scanner took a minute and
found sixty made-up ones. What is meant to be here is named in ``allowed-secrets.txt``, by its text, with why.
"""

from __future__ import annotations

import base64
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ALLOWED = Path(__file__).with_name("allowed-secrets.txt")
FORMS: Mapping[str, re.Pattern[str]] = {
    "private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s*[A-Za-z0-9+/=\s]{40,}"),
    "webhook secret": re.compile(r"whsec_[A-Za-z0-9+/]{24,}={0,2}"),
    "Fernet key (INVOICES_SECRET_KEY)": re.compile(r"(?<![A-Za-z0-9_+/-])[A-Za-z0-9_-]{43}=(?![A-Za-z0-9=])"),
    "token": re.compile(
        r"\b(?:AKIA[0-9A-Z]{16}|AIza[0-9A-Za-z_-]{35}|gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60,}"
        r"|glpat-[A-Za-z0-9_-]{20}|xox[abprs]-[A-Za-z0-9-]{20,}|[sr]k_live_[A-Za-z0-9]{20,}"
        r"|hf_[A-Za-z0-9]{34}|sk-[A-Za-z0-9_-]{32,})"
    ),
    "JSON web token": re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}"),
    "password in an address": re.compile(
        r"\b[a-z][a-z0-9+.-]*://[^\s:/@'\"{}<>$]+:[^\s:/@'\"{}<>$]{12,}@[A-Za-z0-9.-]+"
    ),
    "assigned secret": re.compile(
        r"(?i)\b[a-z_]*(?:api_?key|secret|token|passw(?:or)?d)[a-z_]*['\"]?\s*[:=]\s*['\"](?=[^'\"]*[0-9])"
        r"(?=[^'\"]*[a-zA-Z])[A-Za-z0-9+/_=-]{28,}['\"]"
    ),
}


def find_secrets(text: str) -> Iterator[tuple[str, int, str]]:
    """(form, line number, what was found)."""
    for form, pattern in FORMS.items():
        for match in pattern.finditer(text):
            if form == "JSON web token" or not is_made_up(match[0]):  # a token's first part is JSON
                yield form, text.count("\n", 0, match.start()) + 1, match[0]


def is_made_up(found: str) -> bool:
    """Base64 of a sentence or of a row of digits: keys in tests are written so; no random key reads like that."""
    for run in re.findall(r"[A-Za-z0-9+/_-]{24,}={0,2}", found.removeprefix("whsec_")):
        try:
            read = base64.urlsafe_b64decode(run.replace("+", "-").replace("/", "_") + "=" * (-len(run) % 4))
        except ValueError:
            continue
        if read.isascii() and read.decode().isprintable():
            return True
    return False


def read_allowed(text: str) -> list[str]:
    """Texts that are no secrets: what stands before the ``#`` of each line."""
    lines = (line.partition(" # ")[0].strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def faults() -> Iterator[str]:
    """Everything that looks like a secret, by place; never the secret itself."""
    allowed = read_allowed(ALLOWED.read_text())
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    used = set()
    for name in filter(None, listed.decode().split("\0")):
        path = ROOT / name
        if path == ALLOWED or not path.is_file():
            continue
        for form, line, found in find_secrets(path.read_text(errors="replace")):
            known = [text for text in allowed if text in found]
            used.update(known)
            if not known:
                yield f"{name}:{line}: a {form}, by its form (made up? say so in {ALLOWED.relative_to(ROOT)})"
    for text in sorted(set(allowed) - used):
        yield f"{ALLOWED.name}: nothing holds {text[:12]}… any more: take it off"
