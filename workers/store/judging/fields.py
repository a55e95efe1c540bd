"""The fields of evidence, read in one go: ``dataclasses.fields`` looks at each field's definition every time."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable
from operator import attrgetter

from domain.evidence import Evidence


def fields_of(evidence: Evidence) -> Iterable[tuple[str, object]]:
    """Its fields' names, each with its value."""
    names, read = _reader(type(evidence))
    return zip(names, read(evidence), strict=True)


@functools.cache
def _reader(kind: type[Evidence]) -> tuple[tuple[str, ...], attrgetter[tuple[object, ...]]]:
    names = tuple(field.name for field in dataclasses.fields(kind))
    return names, attrgetter(*names)  # each kind has several fields, so this gives a tuple
