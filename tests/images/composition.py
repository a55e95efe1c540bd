"""deploy/compose.yaml as a test reads it: the variables filled in, merge keys resolved."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from tests.images.build import ROOT

COMPOSE = ROOT / "deploy" / "compose.yaml"
VARIABLE = re.compile(r"\$\{([A-Z_]+):-([^}]*)\}")
#: Those that run our image. `sandbox` only in the profile `demo`.
ROLES = ("intake", "worker", "beat", "web")
OURS = ("migrate", *ROLES, "sandbox")


def read_compose(variables: Mapping[str, str] | None = None, changes: Mapping[str, str] | None = None) -> Any:
    """What `docker compose config` would show. ``changes`` are replaced in the text first, such as ports."""
    text = COMPOSE.read_text()
    for old, new in (changes or {}).items():
        text = text.replace(old, new)
    given = variables or {}

    def fill(node: Any) -> Any:
        if isinstance(node, dict):
            return {name: fill(value) for name, value in node.items()}
        if isinstance(node, list):
            return [fill(value) for value in node]
        if not isinstance(node, str):
            return node
        filled = VARIABLE.sub(lambda found: given.get(found[1], found[2]), node)
        return int(filled) if filled != node and filled.isdecimal() else filled

    return fill(yaml.safe_load(text))
