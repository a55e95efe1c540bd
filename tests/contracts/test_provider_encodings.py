"""Answers of every provider that are compressed, or written in another encoding, over real sockets."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest

from domain.evidence import Created, InDoubt
from tests.contracts.provider_cases import CASES
from tests.contracts.provider_server import (
    ALL,
    create_at,
    http,
    sends,
)


@ALL
def test_an_answer_compressed_unasked_is_read_all_the_same(case):
    packed = http(f"{case.success} OK", gzip.compress(case.made.encode()), "Content-Encoding: gzip")
    assert isinstance(create_at(case, sends(packed))[0], Created)


@ALL
@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (lambda made: gzip.compress(made[:100]) + gzip.compress(made[100:]), "gzip"),
        (lambda made: gzip.compress(b"") + gzip.compress(made) + b"\0" * 512, "x-gzip"),
        (lambda made: b"".join(gzip.compress(made[at : at + 20]) for at in range(0, len(made), 20)), "GZIP"),
        (zlib.compress, "deflate"),
        (lambda made: zlib.compress(made, wbits=-zlib.MAX_WBITS), "deflate"),
        (lambda made: zlib.compress(made, 0, wbits=-zlib.MAX_WBITS), "Deflate"),
        (gzip.compress, "deflate"),
    ],
    ids=["two members", "padded", "many members", "zlib", "raw deflate", "stored", "gzip called deflate"],
)
def test_every_way_to_write_gzip_and_deflate_is_read(case, body, encoding):
    answer = http(f"{case.success} OK", body(case.made.encode()), f"Content-Encoding: {encoding}")
    assert isinstance(create_at(case, sends(answer))[0], Created)


@ALL
@pytest.mark.parametrize(
    ("codec", "declared"),
    [
        ("utf-8", "; charset=ISO-8859-1"),  # a server's default for everything: JSON is UTF-8 all the same
        ("utf-8", ""),
        ("utf-8-sig", ""),
        ("latin-1", "; charset=iso-8859-1"),
        ("cp1252", '; charset="windows-1252"'),
        ("utf-16", "; charset=utf-16"),
        ("utf-16-le", "; charset=UTF-16LE"),
        ("utf-16-be", ""),
        ("utf-32", ""),
    ],
)
def test_an_answer_in_another_encoding_is_read(case, codec, declared):
    made = case.made.replace('"message": "', '"message": "Größe ')
    answer = http(f"{case.success} OK", made.encode(codec), f"Content-Type: application/json{declared}")
    assert isinstance(create_at(case, sends(answer))[0], Created)


@ALL
@pytest.mark.parametrize("declared", ["", "; charset=utf-8", "; charset=unicode_escape", "; charset=nonsense"])
def test_bytes_that_nobody_says_how_to_read_are_in_doubt(case, declared):
    made = case.made.replace('"message": "', '"message": "Größe ').encode("latin-1")
    answer = http(f"{case.success} OK", made, f"Content-Type: application/json{declared}")
    assert isinstance(create_at(case, sends(answer))[0], InDoubt)


def packed(layers: int) -> bytes:
    """64 MiB of zeros in a few hundred bytes or a few ten thousand."""
    body = b"\0" * (64 * 1024 * 1024)
    for _ in range(layers):
        body = gzip.compress(body)
    return body


@pytest.mark.parametrize(
    ("make", "encoding"),  # made by the test: every process of a test run reads this file
    [
        (lambda: packed(1), "gzip"),
        (lambda: packed(2), "gzip, gzip"),
        (lambda: gzip.compress(b" ") + packed(1), "gzip"),
        (lambda: gzip.compress(b" " * (512 * 1024)) * 60, "gzip"),
        (lambda: gzip.compress(b"") * 20_000, "gzip"),
        (lambda: zlib.compress(b"\0" * (64 * 1024 * 1024), wbits=-zlib.MAX_WBITS), "deflate"),
        (lambda: b"\x1f\x8b\0", "gzip"),
        (lambda: b"\xff", "deflate"),
        (lambda: b"\xff", "br"),
    ],
    ids=[
        "bomb",
        "bomb in a bomb",
        "bomb in the second member",
        "many members",
        "endless empty members",
        "raw bomb",
        "cut gzip",
        "no deflate",
        "brotli",
    ],
)
def test_no_compression_unpacks_to_more_than_the_limit_or_makes_an_invoice(make, encoding):
    body = make()
    tracemalloc.start()
    try:
        evidence, _ = create_at(CASES["nebulox"], sends(http("201 Created", body, f"Content-Encoding: {encoding}")))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(evidence, InDoubt)
    assert most < 16 * 1024 * 1024
