"""The documents of ``/v1``: valid by their own meta-schemas, and about exactly what is served."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from config.celeryconfig import INTAKE_QUEUE
from config.settings import load_settings
from domain.permissions import PERMISSIONS, Scope
from tests.contracts.api_cases import order
from workers.intake.message import INTAKE_TASKS, Accepted, inspect
from workers.web.api.schema.asyncapi import asyncapi_document
from workers.web.api.schema.openapi import openapi_document, operations
from workers.web.api.schema.operation import DescribedRoute

ASYNCAPI = json.loads((Path(__file__).parent / "asyncapi-3.0.0.json").read_text())
PATHS = ("/v1/openapi.json", "/v1/asyncapi.json")
NOW = datetime(2026, 11, 29, 9, 0, tzinfo=UTC)


@pytest.fixture
def openapi(service):
    return openapi_document(service.served.routes, "1")


def test_openapi_is_valid(openapi):
    assert [error.message for error in OpenAPIV31SpecValidator(openapi).iter_errors()] == []


def test_asyncapi_is_valid():
    jsonschema.Draft7Validator(ASYNCAPI).validate(asyncapi_document("1"))


def test_asyncapi_s_references_lead_somewhere():
    document = asyncapi_document("1")
    for reference in set(references(document)):
        part = document
        for name in reference.removeprefix("#/").split("/"):
            part = part[name]
        assert part


def references(part):
    if isinstance(part, dict):
        found = [part["$ref"]] if "$ref" in part else []
        return found + [one for value in part.values() for one in references(value)]
    return [one for value in part for one in references(value)] if isinstance(part, list) else []


def test_every_route_is_described_and_nothing_else(service, openapi):
    raw = [route.path for route in service.served.routes if not isinstance(route, DescribedRoute)]
    served = {(route.path, method) for route in service.served.routes for method in route.methods - {"HEAD"}}
    told = {(path, method.upper()) for path, methods in openapi["paths"].items() for method in methods}

    assert raw == []
    assert told == served
    assert set(PATHS) <= openapi["paths"].keys()


def test_names_are_given_once_and_links_lead_to_them(service):
    described = operations(service.served.routes)
    names = [operation.name for operation in described]
    links = [link.operation for one in described for answer in one.answers.values() for link in answer.links.values()]

    assert len(names) == len(set(names))
    assert set(links) <= set(names)


def test_every_schema_is_used(openapi):
    found = {one.rpartition("/")[2] for one in references(openapi)}
    assert openapi["components"]["schemas"].keys() - found <= {"Cancellation", "Event"}


@pytest.mark.parametrize("path", PATHS)
def test_they_are_served_without_a_token_and_only_when_they_have_changed(service, path):
    async def ask():
        first = await service.ask("GET", path, token="none")
        headers = {"if-none-match": first.headers["etag"]}
        return first, await service.ask("GET", path, token="none", headers=headers)

    first, again = asyncio.run(ask())
    assert (first.status_code, first.headers["content-type"]) == (200, "application/json")
    assert first.json()[path[len("/v1/") : -len(".json")]].startswith("3.")
    assert (again.status_code, again.content) == (304, b"")


def test_every_operation_asks_for_the_scopes_that_it_names_and_for_no_others(service):
    """A token that may do something gets past the door: what it is answered then has other reasons."""
    tokens = {scope: service.add_token(scope) for scope in Scope}

    async def ask(operation, token):
        path = operation.path.replace("{id}", "none")
        return (await service.ask(operation.method, path, token=token)).status_code

    async def ask_all():
        for operation in operations(service.served.routes):
            closed = 401 if operation.action else None
            assert (await ask(operation, "none") == 401) is (closed == 401), operation.name
            for scope, token in tokens.items():
                allowed = operation.action is None or operation.action in PERMISSIONS[scope]
                assert (await ask(operation, token) not in {401, 403}) is allowed, (operation.name, scope)

    asyncio.run(ask_all())


@pytest.mark.parametrize("task", sorted(INTAKE_TASKS))
def test_a_message_that_asyncapi_describes_is_one_that_is_taken(task):
    fields = {
        "invoices.create": order(),
        "invoices.create_many": {"orders": [order()]},
        "invoices.cancel": {"account": "nebulox", "order_id": "1001"},
    }[task]
    document = asyncapi_document("1")
    message = document["components"]["messages"][task]
    headers, body = {"task": task, "id": "id-1"}, [[], fields, {}]

    for part, instance in (("headers", headers), ("payload", body)):
        schema = {**message[part], "components": document["components"]}
        jsonschema.Draft7Validator(schema).validate(instance)
    judged = inspect(headers, {"delivery_tag": "tag"}, json.dumps(body), "application/json", "utf-8", now=NOW)
    assert isinstance(judged, Accepted), judged


def test_asyncapi_names_the_queue_and_the_stream_of_the_settings():
    channels = asyncapi_document("1")["channels"]
    settings = load_settings({})
    assert channels["intake"]["address"] == INTAKE_QUEUE
    assert channels["stream"]["address"] == settings.stream
