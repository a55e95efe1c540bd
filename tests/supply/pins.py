"""Requirement files: every pin hashed, in step with pyproject.toml, and none of a version known to be bad."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "requirements"
KnownBad = tuple[str, SpecifierSet, str]
FILES = (
    *("run.txt", "otel.txt", "dev.txt", "audit.txt", "beancount.txt", "chart.txt", "image.txt", "mutants.txt"),
    "rivals.txt",
)
APART = "mutants"  #: the extra that has a file of its own
_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)(.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL)


def read_pins(text: str) -> dict[str, tuple[Version, int]]:
    """Each pinned distribution, with its version and how many hashes it has."""
    return {
        canonicalize_name(name): (Version(version), rest.count("--hash=sha256:"))
        for name, version, rest in _PIN.findall(text)
    }


def read_known_bad(text: str) -> list[KnownBad]:
    """(distribution, versions, why) of each line."""
    found: list[KnownBad] = []
    for line in text.splitlines():
        requirement, _, why = line.partition("#")
        if requirement.strip():
            parsed = Requirement(requirement)
            found.append((canonicalize_name(parsed.name), parsed.specifier, why.strip()))
    return found


def faults() -> Iterator[str]:
    """What is wrong with the files of this tree, a sentence each."""
    known_bad = read_known_bad((FOLDER / "known-bad.txt").read_text())
    pins = {name: read_pins((FOLDER / name).read_text()) for name in FILES}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    apart = [Requirement(text) for text in extras[APART]]
    wanted = [Requirement(text) for text in project["project"]["dependencies"]]
    wanted_by_tests = [Requirement(text) for name, extra in extras.items() if name != APART for text in extra]
    for file, found in pins.items():
        yield from unhashed(file, found)
        yield from bad_pins(file, found, known_bad)
    yield from out_of_step("run.txt", wanted, pins["run.txt"])
    yield from out_of_step("otel.txt", wanted + [Requirement(text) for text in extras["otel"]], pins["otel.txt"])
    yield from out_of_step("dev.txt", wanted + wanted_by_tests, pins["dev.txt"])
    yield from out_of_step("mutants.txt", apart, pins["mutants.txt"])
    for name in pins["mutants.txt"].keys() & pins["dev.txt"].keys():
        if pins["mutants.txt"][name][0] != pins["dev.txt"][name][0]:
            yield f"mutants.txt: {name} is not what dev.txt pins: run `make pins`"
    for fewer, more in (("run.txt", "otel.txt"), ("otel.txt", "dev.txt")):
        for name, pin in pins[fewer].items():
            if pins[more].get(name) != pin:
                yield f"{more}: {name} is not what {fewer} pins ({pin[0]}): run `make pins`"
    for requirement in wanted + wanted_by_tests + apart:
        yield from bad_bounds(requirement, known_bad)


def unhashed(file: str, pins: Mapping[str, tuple[Version, int]]) -> Iterator[str]:
    """A pin without a hash lets an index hand over anything."""
    if not pins:
        yield f"{file}: pins nothing"
    for name, (version, hashes) in pins.items():
        if not hashes:
            yield f"{file}: {name} {version} has no hash: run `make pins`"


def bad_pins(file: str, pins: Mapping[str, tuple[Version, int]], known_bad: list[KnownBad]) -> Iterator[str]:
    """A pin on the list of versions that are known to be bad."""
    for name, versions, why in known_bad:
        if not why:
            yield f"known-bad.txt: {name} does not say why"
        if name in pins and versions.contains(pins[name][0], prereleases=True):
            yield f"{file}: {name} {pins[name][0]} is known to be bad: {why}"


def out_of_step(file: str, wanted: list[Requirement], pins: Mapping[str, tuple[Version, int]]) -> Iterator[str]:
    """What pyproject.toml asks for is pinned, within its bounds."""
    for requirement in wanted:
        name = canonicalize_name(requirement.name)
        if name not in pins:
            yield f"{file}: {name} is not pinned: run `make pins`"
        elif not requirement.specifier.contains(pins[name][0], prereleases=True):
            yield f"{file}: {name} {pins[name][0]} is outside of pyproject.toml's {requirement.specifier}"


def bad_bounds(requirement: Requirement, known_bad: list[KnownBad]) -> Iterator[str]:
    """Whoever installs by pyproject.toml's bounds alone gets no bad version either."""
    lower = [item.version for item in requirement.specifier if item.operator in {">=", "==", "~="}]
    if not lower:
        yield f"pyproject.toml: {requirement.name} has no lower bound"
    for name, versions, why in known_bad:
        if name == canonicalize_name(requirement.name) and lower and versions.contains(max(map(Version, lower))):
            yield f"pyproject.toml: {requirement} allows a version that is known to be bad: {why}"
