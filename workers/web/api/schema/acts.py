"""What is done with one invoice by hand."""

from __future__ import annotations

from domain.permissions import Action
from domain.requests import MarkRequest, Reason
from domain.schemas import TEXT, Schema, model_schemas, ref
from workers.web.api.api import JSON
from workers.web.api.schema.operation import Operation, header, json_answer
from workers.web.api.schema.parts import ETAG, INVOICE_ID

#: By name; what only these operations have.
SCHEMAS: dict[str, Schema] = model_schemas(Reason, MarkRequest)

_PARAMETERS = (INVOICE_ID, header("If-Match", TEXT, "only in this sequence: the `ETag` of an answer before"))
_DONE = {200: json_answer("The invoice after it.", ref("Invoice"), {"ETag": ETAG})}
_REFUSALS = (404, 409, 412, 422)


def _act(act: str, name: str, summary: str, action: Action, body: str) -> Operation:
    return Operation(
        "POST",
        f"/v1/invoices/{{id}}/{act}",
        name,
        summary,
        _DONE,
        action=action,
        about="409: the invoice does not allow it. 412: it has changed since, and nothing was done.",
        parameters=_PARAMETERS,
        body={JSON: ref(body)},
        problems=_REFUSALS,
    )


CANCEL_INVOICE = _act("cancel", "cancelInvoice", "Give an order up", Action.CANCEL, "Reason")
MARK_INVOICE = _act("mark", "markInvoice", "Say what became of an invoice", Action.MARK, "MarkRequest")
RECHECK_INVOICE = _act("recheck", "recheckInvoice", "Have the provider asked now", Action.RECHECK, "Reason")
