"""Compares the output of instances with the documents that they serve: a frame or a body beside its schema is a bug of one of
them."""

import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import httpx
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

Check = Callable[[dict[str, Any]], None]


async def frames_of(url: str) -> Check:
    """A check of received frames against `/api/asyncapi.json`, as the instance at `url` serves it."""
    validators = _frame_validators(await _document(f"{url}/api/asyncapi.json"))

    def check(frame: dict[str, Any]) -> None:
        assert frame["type"] in validators, f"a frame that the document does not know: {frame}"
        _assert_valid(validators[frame["type"]], frame)

    return check


async def check_response(response: httpx.Response) -> None:
    """A hook for httpx: the answer against `/api/openapi.json`, as the same instance serves it."""
    url = response.request.url
    if not url.path.startswith("/api/") or url.path in ("/api/openapi.json", "/api/asyncapi.json", "/api/docs"):
        return
    text = await _document(f"{url.scheme}://{url.netloc.decode()}/api/openapi.json")
    await response.aread()
    operation = _operation(text, response.request.method.lower(), url.path)
    if operation is None:
        assert response.status_code in (401, 404, 405), f"{response.request.method} {url.path} is not in the document"
        return
    answers = json.loads(text)["paths"][operation[0]][operation[1]]["responses"]
    status = str(response.status_code)
    assert status in answers, f"{operation} does not say that it may answer {status}: {response.text[:300]}"
    media_type = response.headers.get("content-type", "").partition(";")[0]
    content = answers[status].get("content")
    if content is None:
        assert not response.content
        return
    assert media_type in content, f"{operation} {status} is {media_type}"
    _assert_valid(_body_validator(text, operation[0], operation[1], status, media_type), response.json())


_documents: dict[str, str] = {}


async def _document(address: str) -> str:
    """One version of the service per run: the document is fetched from the first instance that is asked."""
    name = address.rpartition("/")[2]
    if name not in _documents:
        async with httpx.AsyncClient(verify=False) as client:
            answer = await client.get(address)
            assert answer.status_code == 200
            _documents[name] = answer.text
    return _documents[name]


def _assert_valid(validator: Draft202012Validator, value: object) -> None:
    error = next(validator.iter_errors(value), None)
    assert error is None, f"{error.message} at {error.json_path} of {json.dumps(value)[:500]}"


@cache
def _registry(text: str) -> "Registry[Any]":
    return Registry().with_resource("urn:document", Resource.from_contents(json.loads(text), DRAFT202012))


@cache
def _frame_validators(text: str) -> dict[str, Draft202012Validator]:
    """By type, of the frames that clients receive."""
    document = json.loads(text)
    names = [ref["$ref"].rpartition("/")[2] for ref in document["operations"]["clientReceives"]["messages"]]
    return {
        document["components"]["messages"][name]["name"]: Draft202012Validator(
            {"$ref": f"urn:document#/components/messages/{name}/payload"}, registry=_registry(text)
        )
        for name in names
    }


@cache
def _body_validator(text: str, path: str, method: str, status: str, media_type: str) -> Draft202012Validator:
    parts = ("paths", path, method, "responses", status, "content", media_type, "schema")
    pointer = "/".join(part.replace("~", "~0").replace("/", "~1").replace("{", "%7B").replace("}", "%7D") for part in parts)
    return Draft202012Validator({"$ref": f"urn:document#/{pointer}"}, registry=_registry(text))


@cache
def _operation(text: str, method: str, path: str) -> tuple[str, str] | None:
    for template, operations in json.loads(text)["paths"].items():
        if method in operations and re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path):
            return template, method
    return None
