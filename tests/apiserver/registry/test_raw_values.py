"""Numbers in values that Go keeps as they came stay as they were written."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


REVISIONS = "/apis/apps/v1/namespaces/default/controllerrevisions"
CLASSES = "/apis/resource.k8s.io/v1/deviceclasses"
DATA = b'{"z":1e3,"a":[1.50,{"b":123456789012345678901234567890}],"c":-0.10,"d":7,"e":18446744073709551615}'
AS_NUMBERS = b'{"z":1000,"a":[1.5,{"b":1.2345678901234568e+29}],"c":-0.1,"d":7,"e":18446744073709551615}'
YAML = "application/yaml"


def revision(data: bytes, number: int = 1) -> bytes:
    return b'{"metadata":{"name":"a","finalizers":["x/y"]},"revision":%d,"data":%b}' % (number, data)


@pytest.fixture
async def made(api: Any) -> Any:
    answer = await api("POST", REVISIONS, revision(DATA))
    assert answer.status == 201
    yield answer
    await api.patch(f"{REVISIONS}/a", {"metadata": {"finalizers": None}})


async def shown(api: Any, path: str = f"{REVISIONS}/a") -> bytes:
    return bytes((await api("GET", path)).raw)


async def test_of_a_new_object(api: Any, made: Any) -> None:
    assert b'"data":' + DATA in made.raw
    assert b'"data":' + DATA in await shown(api)
    assert b'"data":' + DATA in await shown(api, REVISIONS)


async def test_other_writes_leave_them_alone(api: Any, made: Any) -> None:
    labels = {"metadata": {"labels": {"a": "b"}}}
    for answer in (
        await api.patch(f"{REVISIONS}/a", labels),
        await api.patch(f"{REVISIONS}/a", [{"op": "replace", "path": "/revision", "value": 2}], "json"),
        await api("PUT", f"{REVISIONS}/a", revision(DATA, 3)),
    ):
        assert answer.status == 200, answer.raw
        assert b'"data":' + DATA in answer.raw
    assert (await api("DELETE", f"{REVISIONS}/a")).status == 200
    assert b"deletionTimestamp" in await shown(api)
    assert b'"data":' + DATA in await shown(api)


async def test_of_operations_on_an_object(api: Any) -> None:
    first = b'{"driver":"d.x","parameters":{"a":1e3}}'
    body = b'{"metadata":{"name":"c"},"spec":{"config":[{"opaque":%b}]}}' % first
    assert (await api("POST", CLASSES, body)).status == 201
    new = first.replace(b"1e3", b"2.50")
    patch = (
        b"""[{"op":"copy","from":"/spec/config/0","path":"/spec/config/-"},
        {"op":"add","path":"/spec/config/0","value":{"opaque":%b}}]"""
        % new
    )
    answer = await api("PATCH", f"{CLASSES}/c", patch, content_type="application/json-patch+json")
    assert b'"config":[{"opaque":%b},{"opaque":%b},{"opaque":%b}]' % (new, first, first) in answer.raw


@pytest.mark.usefixtures("made")
async def test_of_a_strategic_patch_the_numbers_are_known_alone(api: Any) -> None:
    answer = await api.patch(f"{REVISIONS}/a", {"metadata": {"labels": {"a": "b"}}}, "strategic")
    assert b'"data":' + AS_NUMBERS in answer.raw


async def test_of_yaml_the_numbers_are_known_alone(api: Any) -> None:
    answer = await api("POST", REVISIONS, revision(DATA).replace(b"finalizers", b"fonts"), content_type=YAML)
    assert b'"data":' + AS_NUMBERS in answer.raw, answer.raw


ESCAPED = (
    rb'{"a":"\u0041\/\u003cb\u0026\u003e","b":["\u00e9","\n\t\"",-0,[-0],0],"c":{"-0":"-0"},"d":"\\u0041"}'
)


async def test_of_letters_that_were_escaped_and_a_zero_below_zero(api: Any) -> None:
    answer = await api("POST", REVISIONS, revision(ESCAPED).replace(b',"finalizers":["x/y"]', b""))
    assert b'"data":' + ESCAPED in answer.raw
    assert b'"data":' + ESCAPED in await shown(api)
    path = f"{REVISIONS}/a"
    labelled = await api.patch(path, {"metadata": {"labels": {"a": "b"}}})
    assert b'"data":' + ESCAPED in labelled.raw
    assert labelled.json["data"]["a"] == "A/<b&>"
    plain = ESCAPED.replace(rb"\u0041\/", b"A/")
    changed = await api("PUT", path, revision(plain, 2).replace(b',"finalizers":["x/y"]', b""))
    assert b'"data":' + plain in changed.raw
    strategic = await api.patch(path, {"metadata": {"labels": {"a": "c"}}}, "strategic")
    assert b'"a":"A/<b&>"' in strategic.raw


async def test_deep_in_an_object(api: Any) -> None:
    def body(parameters: bytes) -> bytes:
        opaque = b'{"opaque":{"driver":"d.x","parameters":%b}}' % parameters
        return b'{"metadata":{"name":"c"},"spec":{"config":[%b,%b]}}' % (opaque.replace(b"e3", b"e4"), opaque)

    first = DATA.replace(b"e3", b"e4")
    answer = await api("POST", CLASSES, body(DATA))
    assert b'"parameters":' + first in answer.raw
    assert b'"parameters":' + DATA in answer.raw
    changed = body(DATA.replace(b"1.50", b"2.50")).replace(b'{"metadata":{"name":"c"},', b"{")
    answer = await api("PATCH", f"{CLASSES}/c", changed, content_type="application/merge-patch+json")
    assert b'"parameters":' + DATA.replace(b"1.50", b"2.50") in answer.raw
