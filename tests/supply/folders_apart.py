"""A contract for import-linter: a package's folders don't import each other, whichever there are."""

from __future__ import annotations

from grimp import ImportGraph
from importlinter import ContractCheck, fields
from importlinter.contracts.independence import IndependenceContract


class FoldersApart(IndependenceContract):
    """``parent``: its sub-packages are to be independent; the modules beside them are shared by all."""

    type_name = "folders-apart"

    parent = fields.StringField()
    modules = fields.SetField(subfield=fields.ModuleExpressionField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Kept where no folder imports another one, directly or by way of others."""
        children = graph.find_children(str(self.parent))
        folders = {child for child in children if graph.find_children(child)}
        apart = IndependenceContract(self.name, self.session_options, {"modules": sorted(folders)})
        return apart.check(graph, verbose)
