"""The served documents are valid, complete, and about this application."""

import json
from typing import Any

import pytest
from fastapi.routing import APIRoute
from openapi_spec_validator import OpenAPIV31SpecValidator

from holdfast.errors import ConfigurationError
from holdfast.protocol import frames
from holdfast.protocol.codes import CODES
from holdfast.protocol.frames import Summary
from holdfast.protocol.rest import ConversationDetail
from holdfast.settings import load
from holdfast.web import schema
from holdfast.web.app import public_app

OPENAPI: dict[str, Any] = json.loads(schema.openapi())
ASYNCAPI: dict[str, Any] = json.loads(schema.asyncapi())
OPERATIONS = [(path, method, operation) for path, item in OPENAPI["paths"].items() for method, operation in item.items()]
BESIDE = {  # not calls: documents, probes, the socket's own address, and the two that the acceptance guide writes at the root
    "/ws", "/api/openapi.json", "/api/asyncapi.json", "/api/docs", "/livez", "/readyz", "/startupz",
    "/{conversation_id}/typing", "/{conversation_id}/messages/{message_id}/read",
}  # fmt: skip


@pytest.fixture
def routes(tmp_path: Any) -> set[tuple[str, str]]:
    """(method, path) of everything that the public port serves."""
    from holdfast.bootstrap import Instance

    environ = {"HOLDFAST_STORE__URL": f"sqlite:///{tmp_path}/x.db", "HOLDFAST_AUTH__SECRET": "x" * 32}
    try:
        app = public_app(Instance(load(environ)).gate)
    except ConfigurationError as error:
        raise AssertionError(error) from error
    found = {(method, path) for method, path in _flat(app.routes)}
    assert found
    return found


def _flat(routes: Any) -> list[tuple[str, str]]:
    found = []
    for route in routes:
        if isinstance(route, APIRoute):
            found += [(method, route.path) for method in route.methods]
        elif (included := getattr(route, "original_router", None)) is not None:
            found += _flat(included.routes)
    return found


def test_the_openapi_document_is_valid() -> None:
    """Generators of clients accept it."""
    OpenAPIV31SpecValidator(OPENAPI).validate()


async def test_every_route_is_in_the_document_and_the_other_way_round(routes: set[tuple[str, str]]) -> None:
    """Every served path is documented; every documented path is served."""
    served = {(method.lower(), path) for method, path in routes if path not in BESIDE and method != "HEAD"}
    assert served == {(method, path) for path, method, _ in OPERATIONS}
    assert {path for _, path in routes} >= BESIDE


def test_operations_have_names_of_their_own() -> None:
    """They become method names."""
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() and name[0].islower() for name in names)


def test_every_operation_lists_codes_that_exist_under_their_status() -> None:
    """And each that takes a token says what a bad one gets."""
    for path, _, operation in OPERATIONS:
        for status, answer in operation["responses"].items():
            problem = answer.get("content", {}).get("application/problem+json")
            if problem is None:
                continue
            codes = problem["schema"]["allOf"][1]["properties"]["code"]["enum"]
            assert {str(CODES[code].status) for code in codes} == {status}, path
        assert ("401" in operation["responses"]) == (operation["operationId"] != "health"), path


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [ref for child in value.values() for ref in _references(child)]
    return [ref for child in value for ref in _references(child)] if isinstance(value, list) else []


@pytest.mark.parametrize("document", [OPENAPI, ASYNCAPI], ids=["openapi", "asyncapi"])
def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    """Inside the document, so that it can be read offline."""
    references = set(_references(document))
    assert references
    for reference in references:
        assert reference.startswith("#/")
        place: Any = document
        for part in reference[2:].split("/"):
            place = place[part.replace("~1", "/").replace("~0", "~")]
        assert isinstance(place, dict)


def test_the_asyncapi_document_has_the_structure_of_version_3() -> None:
    """Operations point to a channel of the document, and only to messages of that channel (AsyncAPI 3.0)."""
    assert ASYNCAPI["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= ASYNCAPI["info"].keys()
    (channel,) = ASYNCAPI["channels"].values()
    assert channel["address"] == "/ws"
    for message in channel["messages"].values():
        assert message["$ref"].startswith("#/components/messages/")
    for operation in ASYNCAPI["operations"].values():
        assert operation["action"] in ("send", "receive")
        assert operation["channel"] == {"$ref": "#/channels/socket"}
        for message in operation["messages"]:
            assert message["$ref"].rpartition("/")[2] in channel["messages"]
    for message in ASYNCAPI["components"]["messages"].values():
        assert {"name", "payload"} <= message.keys()


def test_every_frame_is_in_the_asyncapi_document() -> None:
    """By direction, under the type that is on the wire."""
    for operation, union in (("clientSends", frames.AnyClientFrame), ("clientReceives", frames.AnyServerFrame)):
        names = [ref["$ref"].rpartition("/")[2] for ref in ASYNCAPI["operations"][operation]["messages"]]
        types = {ASYNCAPI["components"]["messages"][name]["name"] for name in names}
        assert types == {kind.__struct_config__.tag for kind in union.__args__}


def test_the_detail_of_a_conversation_has_every_field_of_its_summary() -> None:
    """It is made of the summary: a field that only the summary has makes every call for a conversation fail."""
    assert set(Summary.__struct_fields__) <= set(ConversationDetail.__struct_fields__)
