"""The fields of evidence, read in one go: ``dataclasses.fields`` looks at each field's definition every time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from operator import attrgetter

from domain.evidence import Evidence

#: By kind: its fields' names, and what reads them all. Every kind has several fields: of only one, ``attrgetter``
#: would return no tuple.
_READERS: dict[type[Evidence], tuple[tuple[str, ...], Callable[[Evidence], tuple[object, ...]]]] = {}


def fields_of(evidence: Evidence) -> Iterable[tuple[str, object]]:
    """Its fields' names, each with its value."""
    kind = type(evidence)
    if kind not in _READERS:
        names = tuple(field.name for field in dataclasses.fields(kind))
        _READERS[kind] = names, attrgetter(*names)
    names, read = _READERS[kind]
    return zip(names, read(evidence), strict=True)
