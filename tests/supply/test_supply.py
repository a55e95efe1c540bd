"""The checks of the supply chain find what they are for. (`make check` runs them over this tree.)"""

from __future__ import annotations

import base64
import json
import runpy
import secrets as random
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.supply import licences, pins, secrets

ROOT = Path(__file__).resolve().parents[2]
TEXT = """# a comment
good==2.0.1 ; python_version >= '3.11' \\
    --hash=sha256:aa \\
    --hash=sha256:bb
bare-pin[extra]==1.0
"""
KNOWN_BAD = pins.read_known_bad("# why\ngood<2.0.2  # CVE-1 it leaks\nsilent<1\n")
read_audit = runpy.run_path(str(ROOT / "deploy" / "requirements" / "read_audit.py"))["read"]


def test_pins_are_read_with_their_hashes():
    found = pins.read_pins(TEXT)
    assert {name: (str(version), hashes) for name, (version, hashes) in found.items()} == {
        "good": ("2.0.1", 2),
        "bare-pin": ("1.0", 0),
    }


def test_a_pin_without_a_hash_a_bad_version_and_a_line_without_a_reason_are_found():
    found = pins.read_pins(TEXT)
    assert list(pins.unhashed("run.txt", found)) == ["run.txt: bare-pin 1.0 has no hash: run `make pins`"]
    assert list(pins.bad_pins("run.txt", found, KNOWN_BAD)) == [
        "run.txt: good 2.0.1 is known to be bad: CVE-1 it leaks",
        "known-bad.txt: silent does not say why",
    ]


@pytest.mark.parametrize(
    ("wanted", "fault"),
    [
        ("good>=2.1", "run.txt: good 2.0.1 is outside of pyproject.toml's >=2.1"),
        ("other>=1", "run.txt: other is not pinned: run `make pins`"),
    ],
)
def test_pins_that_are_out_of_step_with_the_project_are_found(wanted, fault):
    assert list(pins.out_of_step("run.txt", [Requirement(wanted)], pins.read_pins(TEXT))) == [fault]


def test_bounds_that_allow_a_bad_version_are_found():
    assert list(pins.bad_bounds(Requirement("good>=2.0.2"), KNOWN_BAD)) == []
    (fault,) = pins.bad_bounds(Requirement("good>=2"), KNOWN_BAD)
    assert fault.endswith("allows a version that is known to be bad: CVE-1 it leaks")
    assert list(pins.bad_bounds(Requirement("free"), KNOWN_BAD)) == ["pyproject.toml: free has no lower bound"]


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("Apache-2.0 AND MIT", True),
        ("GPL-3.0-only OR MIT", True),
        ("GPL-3.0-only AND MIT", False),
        ("AGPL-3.0-or-later", False),
        ("(MIT AND BSD)", False),
    ],
)
def test_a_licence_is_allowed_by_its_parts(expression, allowed):
    assert licences.is_allowed(expression) is allowed


def test_a_distribution_that_nobody_has_read_has_no_licence():
    assert licences.licence_of("no-such-distribution") is None
    assert licences.licence_of("pydantic") == "MIT"


def made(form):
    """A secret of a form, made now, so that none stands here."""
    key = base64.urlsafe_b64encode(b"\xff" + random.token_bytes(31)).decode()
    return {
        "private key": f"-----BEGIN RSA {'PRIVATE'} KEY-----\n{base64.b64encode(random.token_bytes(60)).decode()}\n",
        "webhook secret": "whsec_" + base64.b64encode(b"\xff" + random.token_bytes(23)).decode(),
        "Fernet key (INVOICES_SECRET_KEY)": f"INVOICES_SECRET_KEY={key}",
        "token": "AK" + "IA" + "ABCDEFGHIJKLMNOP",
        "JSON web token": ".".join(["ey" + "JhbGciOiJIUzI1NiJ9", "ey" + "JzdWIiOiIxMjM0NTY3ODkwIn0", key[:30]]),
        "password in an address": f"postgresql://invoices:{key[1:20]}@db/invoices",
        "assigned secret": f'api_key = "{"f4" + key[1:30]}"',
    }[form]


@pytest.mark.parametrize("form", secrets.FORMS)
def test_a_secret_of_each_form_is_found_with_its_line(form):
    found = list(secrets.find_secrets(f"first line\n{made(form)}\n"))
    assert (form, 2) in [(kind, line) for kind, line, _ in found]


@pytest.mark.parametrize(
    "text",
    [
        'SECRET_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="',
        "redis://:password@redis:6379/0",
        'api_key = "sandbox-zeroxhost-key"',
        "postgresql+psycopg://invoices@db/invoices",
    ],
)
def test_what_is_plainly_made_up_is_left_alone(text):
    assert list(secrets.find_secrets(text)) == []


def test_what_is_allowed_is_named_by_its_text():
    assert secrets.read_allowed("# heading\nabc # why\n\n") == ["abc"]


@pytest.mark.parametrize(
    ("code", "answer", "exit_code", "said"),
    [
        (124, "", 0, "it took too long"),
        (1, "Traceback", 0, "it did not answer"),
        (0, {"dependencies": [{"name": "a", "skip_reason": "unknown"}]}, 0, "knows none of the pins"),
        (0, {"dependencies": [{"name": "a", "version": "1", "vulns": []}]}, 0, "no known vulnerability in the 1 of 1"),
        (
            1,
            {"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}]},
            1,
            "audit: a 1: CVE-1, mended in 2",
        ),
    ],
)
def test_the_audits_answer_fails_for_a_vulnerability_and_for_nothing_else(code, answer, exit_code, said):
    ended, text = read_audit(code, answer if isinstance(answer, str) else json.dumps(answer))
    assert ended == exit_code
    assert said in text
