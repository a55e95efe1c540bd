"""The documents themselves, which are described like everything else."""

from __future__ import annotations

from domain.schemas import TEXT, record
from workers.web.api.schema.operation import Answer, Header, Operation, header, json_answer

_ETAG = Header("changes when the document does")
_HAVING = (header("If-None-Match", TEXT, "the `ETag` of an answer before"),)
_SAME = Answer("It is what `If-None-Match` names.", headers={"ETag": _ETAG})

SHOW_OPENAPI = Operation(
    "GET",
    "/v1/openapi.json",
    "showOpenApi",
    "This document",
    {200: json_answer("OpenAPI 3.1.", record({"openapi": TEXT}) | {"additionalProperties": True}, {"ETag": _ETAG})}
    | {304: _SAME},
    parameters=_HAVING,
)
SHOW_ASYNCAPI = Operation(
    "GET",
    "/v1/asyncapi.json",
    "showAsyncApi",
    "Messages in, the stream and webhooks out",
    {200: json_answer("AsyncAPI 3.0.", record({"asyncapi": TEXT}) | {"additionalProperties": True}, {"ETag": _ETAG})}
    | {304: _SAME},
    parameters=_HAVING,
)
