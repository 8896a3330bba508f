"""Values that Go keeps as they came stay as they were written."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.schema import raw_text
from tiphys.apis.protobuf import codec as protobuf
from tiphys.apis.schemas import schema_for
from tiphys.apis.table import TABLE
from tiphys.apiserver.cache.foreign import KEPT_AS_SENT
from tiphys.storage.base import Put
from tiphys.storage.memory import MemoryStore

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.every_version]


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


REVISIONS = "/apis/apps/v1/namespaces/default/controllerrevisions"
CLASSES = "/apis/resource.k8s.io/v1/deviceclasses"
DATA = b'{"z":1e3,"a":[1.50,{"b":123456789012345678901234567890}],"c":-0.10,"d":7,"e":18446744073709551615}'
AS_MAPS = b'{"a":[1.5,{"b":1.2345678901234568e+29}],"c":-0.1,"d":7,"e":18446744073709551615,"z":1000}'
JSON, YAML = "application/json", "application/yaml"


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
async def test_a_strategic_patch_makes_maps_of_them(api: Any) -> None:
    answer = await api.patch(f"{REVISIONS}/a", {"metadata": {"labels": {"a": "b"}}}, "strategic")
    assert b'"data":' + AS_MAPS.replace(b"709551615", b"709552000") in answer.raw


async def test_yaml_makes_maps_of_them(api: Any) -> None:
    answer = await api("POST", REVISIONS, revision(DATA).replace(b"finalizers", b"fonts"), content_type=YAML)
    assert b'"data":' + AS_MAPS in answer.raw, answer.raw


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
    assert rb'"a":"A/\u003cb\u0026\u003e"' in strategic.raw


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


SPACED = b'{"b": 1,\n\t"a": [1,  2, "x  y"], "b": "<2>" }'
SHOWN = rb'{"b":1,"a":[1,2,"x  y"],"b":"\u003c2\u003e"}'
PROTOBUF = "application/vnd.kubernetes.protobuf"


async def bytes_of(api: Any, path: str) -> bytes:
    """What a client of Go's types reads."""
    return bytes((await api("GET", path, accept=PROTOBUF)).raw)


async def test_spaces_are_kept_for_those_who_read_bytes(api: Any) -> None:
    made = await api("POST", REVISIONS, revision(SPACED).replace(b',"finalizers":["x/y"]', b""))
    assert b'"data":' + SHOWN in made.raw
    assert made.json["data"] == {"b": "<2>", "a": [1, 2, "x  y"]}
    path = f"{REVISIONS}/a"
    for each in (await shown(api, path), await shown(api, REVISIONS)):
        assert b'"data":' + SHOWN in each
    assert SPACED in await bytes_of(api, path)
    assert SPACED in await bytes_of(api, REVISIONS)
    assert b"x  y" in (await api("GET", path, accept=YAML)).raw
    labelled = await api.patch(path, {"metadata": {"labels": {"a": "b"}}})
    assert b'"data":' + SHOWN in labelled.raw


async def test_what_comes_as_bytes_is_kept(api: Any) -> None:
    await api("POST", REVISIONS, revision(SPACED).replace(b',"finalizers":["x/y"]', b""))
    path = f"{REVISIONS}/a"
    whole = (await bytes_of(api, path)).replace(b"x  y", b"z  z")
    assert (await api("DELETE", path)).status == 200
    body = protobuf.encode(without_revision(protobuf.decode(whole)))
    assert SPACED.replace(b"x  y", b"z  z") in body
    answer = await api("POST", REVISIONS, body, content_type=PROTOBUF)
    assert answer.status == 201, answer.raw
    assert b'"data":' + SHOWN.replace(b"x  y", b"z  z") in await shown(api, path)
    assert SPACED.replace(b"x  y", b"z  z") in await bytes_of(api, path)


def without_revision(obj: Any) -> Any:
    for key in ("resourceVersion", "uid"):
        obj["metadata"].pop(key)
    return obj


@pytest.mark.parametrize("accept", [JSON, f"{PROTOBUF};stream=watch"])
async def test_a_watch_shows_them(api: Any, accept: str) -> None:
    await api("POST", REVISIONS, revision(SPACED).replace(b',"finalizers":["x/y"]', b""))
    answer = await api.send("GET", f"{REVISIONS}?watch=true", accept=accept)
    told = await anext(aiter(answer.stream))
    await answer.stream.aclose()
    assert (SPACED if PROTOBUF in accept else b'"data":' + SHOWN) in told


CLASS = b'{"metadata":{"name":"c"},"spec":{"config":[{"opaque":{"driver":"d.x","parameters":%b}}]}}'
OTHER_VERSION = "/apis/resource.k8s.io/v1beta1/deviceclasses"


async def test_other_bytes_of_the_same_values_are_written(api: Any) -> None:
    made = await api("POST", CLASSES, CLASS % b'{"a":1}')
    path = f"{CLASSES}/c"
    same = await api("PUT", path, CLASS % b'{"a":1}')
    spaced = await api("PUT", path, CLASS % b'{"a": 1}')
    again = await api("PUT", path, CLASS % b'{"a": 1}')
    patched = await api.patch(path, {})
    versions = [one.json["metadata"]["resourceVersion"] for one in (made, same, spaced, again, patched)]
    assert versions[0] == versions[1] != versions[2] == versions[3] != versions[4]
    assert b'{"a":1}' in await bytes_of(api, path)


async def test_a_write_of_the_status_leaves_the_rest_alone(api: Any) -> None:
    path = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims"
    request = b'{"name":"r","exactly":{"deviceClassName":"c"}}'
    config = b'{"opaque":{"driver":"d.x","parameters":%b}}'
    spec = b'{"metadata":{"name":"c"},"spec":{"devices":{"requests":[%b],"config":[%b]}}}'
    made = await api("POST", path, spec % (request, config % b'{"a": 1e3}'))
    assert made.status == 201, made.raw
    read = made.json
    same = await api.put(f"{path}/c/status", read)
    assert same["metadata"]["resourceVersion"] == read["metadata"]["resourceVersion"]
    device = {"driver": "d.x", "pool": "p", "device": "g"}
    granted = {"request": "r", **device}
    own = {"driver": "d.x", "parameters": {"b": 1}}
    grants = {"results": [granted], "config": [{"source": "FromClaim", "opaque": own}]}
    answer = await api("PUT", f"{path}/c/status", {**read, "status": {"allocation": {"devices": grants}}})
    assert answer.status == 200, answer.raw
    assert b'{"a": 1e3}' in await bytes_of(api, f"{path}/c")
    assert b'{"b":1}' in await bytes_of(api, f"{path}/c")


async def test_keys_that_come_twice_are_no_fault_within_them(api: Any) -> None:
    answer = await api("POST", f"{CLASSES}?fieldValidation=Strict", CLASS % b'{"a":1,"a":{"b":2,"b":3}}')
    assert answer.status == 201, answer.raw
    assert b'"parameters":{"a":1,"a":{"b":2,"b":3}}' in answer.raw


async def test_other_versions_have_them_too(api: Any) -> None:
    await api("POST", CLASSES, CLASS % SPACED)
    assert SPACED in await bytes_of(api, f"{OTHER_VERSION}/c")
    await api("DELETE", f"{CLASSES}/c")
    answer = await api("POST", OTHER_VERSION, CLASS % SPACED)
    assert answer.status == 201, answer.raw
    assert SPACED in await bytes_of(api, f"{CLASSES}/c")


async def test_what_upstream_left_keeps_them(serving: Any) -> None:
    obj = {"kind": "ControllerRevision", "apiVersion": "apps/v1", "revision": 1}
    left = {**obj, "metadata": {"name": "a", "namespace": "default"}, "data": raw_text.kept(SPACED)}
    store = MemoryStore()
    await store.commit([Put("/registry/controllerrevisions/default/a", protobuf.encode(left))])
    async with serving(store) as api:
        assert SPACED in await bytes_of(api, f"{REVISIONS}/a")
        assert b'"data":' + SHOWN in await shown(api)
        await api.patch(f"{REVISIONS}/a", {"metadata": {"labels": {"a": "b"}}})
        assert b'"data":' + SHOWN in await shown(api)


async def test_an_older_order_of_fields_keeps_them(serving: Any) -> None:
    store = MemoryStore()
    await store.open()
    meta = b'"metadata":{"name":"old","namespace":"default","uid":"u"}'
    value = b'{"apiVersion":"apps/v1","kind":"ControllerRevision",%b,"data":%b,"revision":1}' % (meta, DATA)
    await store.commit([Put("/registry/controllerrevisions/default/old", value)])
    async with serving(store) as api:
        assert b'"data":' + DATA in await shown(api, f"{REVISIONS}/old")
        await api.patch(f"{REVISIONS}/old", {"metadata": {"labels": {"a": "b"}}})
        assert b'"data":' + DATA in await shown(api, f"{REVISIONS}/old")


async def test_every_kind_that_has_them_is_known() -> None:
    found = {
        (row.group, row.kind) for row in TABLE if not row.custom and raw_text.fields(schema_for(row.storage))
    }
    assert found == KEPT_AS_SENT
