"""No secret gets through in any spelling that a provider, a proxy or a receiver may echo it in."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.masking import HIDDEN, MARGIN, WINDOW, Mask, header_secrets, mask, mask_bytes, usual_forms

KEY = "sk_live/9f+8 &<e>\"'7=0b%2x\\y~ü"
PLAIN_KEY = "nbx-6f0d2c4a8e1b3f57"


def each(form):
    return lambda text: "".join(form(character) for character in text)


def units(text):
    return [int.from_bytes(pair, "big") for pair in zip(*[iter(text.encode("utf-16-be"))] * 2, strict=True)]


def b64(text, before="", after=""):
    return base64.b64encode(f"{before}{text}{after}".encode()).decode()


FORMS = {
    "as it is": str,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON with UTF-8": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "PHP's JSON": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "JSON for a page": lambda text: "".join(
        f"\\u{unit:04x}" if chr(unit) in "&<>'\"+=/" else json.dumps(chr(unit))[1:-1] for unit in units(text)
    ),
    "JSON escapes only": lambda text: "".join(f"\\u{unit:04X}" for unit in units(text)),
    "JSON in JSON": lambda text: json.dumps(json.dumps(text))[3:-3],
    "JSON in JSON in JSON": lambda text: json.dumps(json.dumps(json.dumps(text)))[7:-7],
    "JavaScript's hex": lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode()),
    "a URL's": lambda text: quote(text, safe=""),
    "a URL's path": quote,
    "a form's": quote_plus,
    "a URL in a URL": lambda text: quote(quote(text, safe=""), safe=""),
    "each byte percent-encoded": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "HTML": html.escape,
    "HTML twice": lambda text: html.escape(html.escape(text)),
    "HTML in numbers": each(lambda character: f"&#{ord(character)};"),
    "HTML in hex": each(lambda character: f"&#x{ord(character):X};"),
    "base64": b64,
    "base64 without padding": lambda text: b64(text).rstrip("="),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64 for URLs without padding": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "Basic, as the user": lambda text: "Basic " + b64(text, after=":"),
    "Basic, as the password": lambda text: "Basic " + b64(text, before="merchant:"),
    "base64 behind one byte": lambda text: b64(text, before="x"),
    "base64 behind two bytes": lambda text: b64(text, before="xy", after="}"),
    "base64 in JSON": lambda text: b64(json.dumps({"key": text})),
    "base64 in lines": lambda text: base64.encodebytes(("A" * 50 + text + "B" * 80).encode()).decode(),
    "base64 in base64": lambda text: b64(b64(text)),
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    "hex with colons": lambda text: text.encode().hex(":"),
}

PLACES = {
    "alone": "{}",
    "JSON": '{{"error": "invalid key {}, sorry", "code": 7}}',
    "page": '<html><p>Key {} is unknown</p><a href="/a?b=1&amp;c=%20">back</a></html>',
    "URL": "https://provider.example/v1/invoices?key={}&page=2",
    "header": "Authorization: Bearer {}\r\n",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("key", [KEY, PLAIN_KEY])
def test_an_echoed_key_is_hidden_in_every_form(key, form):
    echo = FORMS[form](key)
    for place in PLACES.values():
        hidden = mask(place.format(echo), [key])
        assert HIDDEN in hidden, place
        assert echo not in hidden
        assert key not in hidden


@example(key="00000000", forms=["Basic, as the user", "hex", "base64 in lines"], around=("", ""))
@example(key="00000000", forms=["Basic, as the password", "hex", "base64 behind one byte"], around=("", ""))
@example(key="0000000\xa0", forms=["JSON in JSON"] * 3, around=("", ""))
@given(
    key=st.text(
        st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_categories=["Cc"]), min_size=8, max_size=40
    ),
    forms=st.lists(
        st.sampled_from(sorted(set(FORMS) - {"base64 in base64", "JSON in JSON in JSON", "hex with colons"})),
        max_size=3,
    ),
    around=st.tuples(st.text(max_size=20), st.text(max_size=20)),
)
def test_a_key_is_hidden_in_forms_of_forms(key, forms, around):
    echo = key
    for form in forms:
        echo = FORMS[form](echo)
    hidden = mask(f"{around[0]} {echo} {around[1]}", [key])
    assert HIDDEN in hidden
    assert echo not in hidden.replace(HIDDEN, "\0") or echo in around
    assert not Mask([key]).finds(hidden)


@given(st.text(max_size=400))
def test_a_text_without_secrets_stays_as_it_is(text):
    assert mask(text, ["a-secret-that-nobody-draws"]) == text
    assert mask(text, []) == text
    assert mask(text, [""]) == text


@given(st.binary(max_size=200))
def test_bytes_without_secrets_stay_as_they_are(content):
    assert mask_bytes(content, ["a-secret-that-nobody-draws"]) == content


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (f"key {PLAIN_KEY} is bad", "key *** is bad"),
        (f"key {b64(PLAIN_KEY)} is bad", "key ***= is bad"),
        (f"{PLAIN_KEY}{PLAIN_KEY}", "******"),
        ("caf\\u00e9 &amp; 100%25", "caf\\u00e9 &amp; 100%25"),
    ],
)
def test_only_the_secret_is_hidden(text, hidden):
    assert mask(text, [PLAIN_KEY]) == hidden


@pytest.mark.parametrize("offset", range(WINDOW - 60, WINDOW + 2, 3))
def test_no_half_of_a_secret_is_left_where_a_long_text_is_cut(offset):
    hidden = mask("." * offset + FORMS["HTML in hex"](PLAIN_KEY) + "." * 100, [PLAIN_KEY])
    assert len(hidden) <= WINDOW - MARGIN
    assert "&#" not in hidden


def test_an_answer_full_of_escapes_costs_no_more_than_a_bounded_number_of_views():
    deep = "%25" * (WINDOW // 3) + "\\" * 1000 + "&amp;" * 1000
    assert len(list(Mask([PLAIN_KEY])._views(deep[:WINDOW]))) <= 48


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("Bearer t0ken-of-mine", {"Bearer t0ken-of-mine", "t0ken-of-mine"}),
        ("t0ken-of-mine", {"t0ken-of-mine"}),
        (
            f"Basic {b64('shop:p4ssw0rd')}",
            {f"Basic {b64('shop:p4ssw0rd')}", b64("shop:p4ssw0rd"), "shop:p4ssw0rd", "p4ssw0rd"},
        ),
        ("on", set()),
    ],
)
def test_what_is_secret_in_a_header_is_its_value_and_the_credentials_in_it(value, found):
    assert set(header_secrets([value])) == found


@given(st.text(min_size=6, max_size=40), st.binary(max_size=7), st.binary(max_size=7))
def test_a_quick_look_sees_base64_at_any_place(key, before, after):
    encoded = base64.b64encode(before + key.encode() + after)
    for text in (encoded, base64.urlsafe_b64encode(before + key.encode() + after)):
        assert any(form in text.decode() for form in usual_forms(key))


@pytest.mark.parametrize(
    "form", ["as it is", "JSON", "a URL's", "HTML", "base64 for URLs", "Basic, as the password", "hex"]
)
@pytest.mark.parametrize("key", [KEY, PLAIN_KEY])
def test_a_quick_look_sees_the_usual_forms(key, form):
    assert any(usual in f"<{FORMS[form](key)}>" for usual in usual_forms(key))
