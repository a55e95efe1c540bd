"""Run by the Python of .venv/chart: renders the chart with Helm for each case, and validates what comes out.

Reads JSON from standard input, [{"values": …, "versions": ["1.31"], "name": "shop", "namespace": "pay"}], and
writes a list of {"error": …} or {"documents": [[file, document]], "faults": ["…"]}.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import helm_python
import kubernetes_validate
import yaml

#: Their schemas come with the operators, not with Kubernetes.
FOREIGN = ("monitoring.coreos.com/", "keda.sh/")


def _mapping(loader: Any, node: Any) -> Any:
    """Refuses a key that comes twice, as a cluster does."""
    keys = [loader.construct_object(key) for key, _ in node.value]
    if twice := {key for key in keys if keys.count(key) > 1}:
        raise yaml.constructor.ConstructorError(None, None, f"twice: {twice}", node.start_mark)
    return loader.construct_mapping(node, deep=True)


yaml.SafeLoader.add_constructor("tag:yaml.org,2002:map", _mapping)


def main(chart: str) -> None:
    """One chart, many cases."""
    cases = json.load(sys.stdin)
    with _only_ours() as write, helm_python.Chart.load(chart) as loaded:
        write(json.dumps([_render(loaded, case) for case in cases]))


@contextlib.contextmanager
def _only_ours() -> Iterator[Any]:
    """Helm's own log lines go to standard error, whatever it writes them to."""
    ours = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    yield ours.write
    ours.close()


def _render(chart: Any, case: dict[str, Any]) -> dict[str, Any]:
    try:
        rendered = chart.render(case["values"], name=case["name"], namespace=case["namespace"])
    except helm_python.HelmError as error:
        return {"error": str(error)}
    files = {name: text for name, text in rendered.items() if name.endswith(".yaml")}
    documents = [(name, one) for name, text in files.items() for one in yaml.safe_load_all(text) if one]
    return {"documents": documents, "faults": list(_faults(documents, case["versions"])), "notes": _notes(rendered)}


def _notes(rendered: dict[str, str]) -> str:
    return next(text for name, text in rendered.items() if name.endswith("NOTES.txt"))


def _faults(documents: list[tuple[str, Any]], versions: list[str]) -> Iterator[str]:
    for version in versions:
        for _, document in documents:
            if document["apiVersion"].startswith(FOREIGN):
                continue
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
                yield f"{version} {document['kind']} {document['metadata']['name']}: {error}"


if __name__ == "__main__":
    main(sys.argv[1])
