"""A CycloneDX bill of materials: the wheel, everything that the pins install with it, and what needs what."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.dependency import Dependency
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.supply.licences import licence_of
from tests.supply.pins import read_pins

US = "invoices"
EXTRAS = ("otel",)  #: what `pip install "invoices[…]"` may ask for


def render(version: str, wheel_sha256: str, pins: str, optional_pins: str, epoch: int) -> str:
    """The same text for the same arguments. ``optional_pins`` hold what extras add. Raises ValueError for a text that
    its own schema refuses."""
    needed, all_of_them = read_pins(pins), read_pins(optional_pins)
    us = _component(US, version, None)
    us.type = ComponentType.APPLICATION
    us.hashes = [HashType(alg=HashAlgorithm.SHA_256, content=wheel_sha256)]
    components = {
        name: _component(name, str(pin), ComponentScope.REQUIRED if name in needed else ComponentScope.OPTIONAL)
        for name, (pin, _) in all_of_them.items()
    }
    text = JsonV1Dot6(_bill(us, components, epoch)).output_as_string(indent=2)
    if wrong := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise ValueError(f"the SBOM is not CycloneDX: {wrong}")
    return f"{text}\n"


def _bill(us: Component, components: Mapping[str, Component], epoch: int) -> Bom:
    identity = " ".join([*(str(each.purl) for each in (us, *components.values())), us.hashes[0].content])
    dependencies = []
    for name, needed in _graph(components).items():
        needs = [Dependency(components[each].bom_ref) for each in sorted(needed)]
        dependencies.append(Dependency((us if name == US else components[name]).bom_ref, needs))
    return Bom(
        components=components.values(),
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, identity),
        metadata=BomMetaData(component=us, timestamp=datetime.fromtimestamp(epoch, UTC)),
        dependencies=dependencies,
    )


def _component(name: str, version: str, scope: ComponentScope | None) -> Component:
    purl = PackageURL("pypi", name=name, version=version)
    licence = "Apache-2.0" if name == US else licence_of(name)
    return Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        purl=purl,
        bom_ref=str(purl),
        scope=scope,
        licenses=[LicenseFactory().make_from_string(licence)] if licence else [],
    )


def _graph(known: Iterable[str]) -> dict[str, set[str]]:
    """What needs what on a machine like this one, by the metadata here; what an extra needs where it is asked for."""
    graph: dict[str, set[str]] = {name: set() for name in (US, *known)}
    to_visit = [(US, extra) for extra in ("", *EXTRAS)]
    visited = set(to_visit)
    for name, extra in to_visit:
        for need in _requirements(name, extra):
            needed = canonicalize_name(need.name)
            graph[name] |= {needed} & graph.keys()
            more = {(needed, each) for each in ("", *need.extras) if needed in graph} - visited
            visited |= more
            to_visit += sorted(more)  # the loop goes on with them
    return graph


def _requirements(name: str, extra: str) -> list[Requirement]:
    try:
        needs = [Requirement(line) for line in requires(name) or []]
    except PackageNotFoundError:  # pinned for another kind of machine
        return []
    return [need for need in needs if need.marker is None or need.marker.evaluate({"extra": extra})]


def write(wheel: Path, sha256: str, pins: Path, optional_pins: Path, epoch: int) -> Path:
    """Beside the wheel."""
    name, version = wheel.name.split("-")[:2]
    target = wheel.with_name(f"{name}-{version}.cdx.json")
    target.write_text(render(version, sha256, pins.read_text(), optional_pins.read_text(), epoch))
    return target
