"""Objects inside of objects, what a Scale shows of a custom one, and paths without a namespace."""
# ruff: noqa: E501

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio
from tests.apiserver.crd.conftest import CRDS, definition, version

from tiphys.apimachinery.schema.build import build_custom
from tiphys.apis.apiextensions.embedded import embedded_faults

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


HOSTS = "/apis/example.com/v1/namespaces/default/hosts"
OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
EMBEDDED = {**OPEN, "x-kubernetes-embedded-resource": True}
SCHEMA = {
    "type": "object",
    "properties": {
        "one": {**EMBEDDED, "properties": {"inner": EMBEDDED}},
        "many": {"type": "array", "items": EMBEDDED},
        "plain": OPEN,
        "names": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "spec": OPEN,
        "status": OPEN,
    },
}
SCALE = {
    "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": ".status.selector",
}  # fmt: skip
GOOD = {"apiVersion": "v1", "kind": "Pod"}
LABEL = "may have mixed case, but should otherwise match: a DNS-1035 label must consist of"


@pytest_asyncio.fixture(loop_scope="module")
async def hosts(api: Any) -> Any:
    served = version(subresources={"status": {}, "scale": SCALE})
    served["schema"] = {"openAPIV3Schema": SCHEMA}
    await api.create(CRDS, definition(served, plural="hosts", kind="Host"))
    await api.settle()
    return api


def host(**parts: Any) -> dict[str, Any]:
    return {"apiVersion": "example.com/v1", "kind": "Host", "metadata": {"name": "h"}, **parts}


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "nothing said": ({"one": {}}, "one.apiVersion: Required value, one.kind: Required value"),
    "no kind": ({"many": [GOOD, {"apiVersion": "v1"}]}, "many[1].kind: Required value"),
    "a version that is none and no kind": (
        {"one": {"apiVersion": "a/b/c"}},
        'one.kind: Required value, one.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c',
    ),
    "an empty kind": ({"one": {**GOOD, "kind": ""}}, 'one.kind: Invalid value: "": must not be empty'),
    "a kind that is no name": ({"one": {**GOOD, "kind": "%"}}, f'one.kind: Invalid value: "%": {LABEL}'),
    "a version that is none": (
        {"one": {**GOOD, "apiVersion": "a/b/c"}},
        'one.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c',
    ),
    "a name that is a path": (
        {"one": {**GOOD, "metadata": {"name": ".."}}}, "one.metadata.name: Invalid value: \"..\": may not be '..'",
    ),
    "a namespace": (
        {"one": {**GOOD, "metadata": {"namespace": "A"}}}, 'one.metadata.namespace: Invalid value: "A": a lowercase',
    ),
    "a label": (
        {"one": {**GOOD, "metadata": {"labels": {"a": "x y"}}}}, 'one.metadata.labels: Invalid value: "x y": a valid label',
    ),
    "further inside": (
        {"one": {**GOOD, "inner": {**GOOD, "metadata": {"name": "a/b"}}}},
        "one.inner.metadata.name: Invalid value: \"a/b\": may not contain '/'",
    ),
    "replicas below": ({"spec": {"replicas": -1}}, ".spec.replicas: Invalid value: -1: should be a non-negative integer"),
    "replicas beyond": (
        {"spec": {"replicas": 2**31}}, ".spec.replicas: Invalid value: 2147483648: should be less than or equal to 2147483647",
    ),
    "replicas that are none": (
        {"spec": {"replicas": "x"}},
        ".spec.replicas: Invalid value: 0: .spec.replicas accessor error: x is of the type string, expected int64",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
async def test_faults(hosts: Any, case: str) -> None:
    parts, text = FAULTS[case]
    answer = await hosts("POST", HOSTS, host(**parts))
    assert answer.status == 422, answer.raw
    assert text in answer.message
    await hosts.create(HOSTS, host())
    again = await hosts.patch(f"{HOSTS}/h", parts)
    assert (again.status, text in again.message) == (422, True)


async def test_all_faults_at_once(hosts: Any) -> None:
    bad = {"apiVersion": "v1", "kind": "%", "metadata": {"name": ".."}}
    answer = await hosts("POST", HOSTS, host(one={**bad, "inner": bad}, many=[bad]))
    assert [cause["field"] for cause in answer.json["details"]["causes"]] == [
        "one.kind", "one.metadata.name", "one.inner.kind", "one.inner.metadata.name", "many[0].kind",
        "many[0].metadata.name",
    ]  # fmt: skip


async def test_what_is_there_twice_is_told_last(hosts: Any) -> None:
    answer = await hosts("POST", HOSTS, host(names=["a", "a"], one={}, spec={"replicas": -1}))
    assert [cause["field"] for cause in answer.json["details"]["causes"]] == [
        ".spec.replicas", "one.apiVersion", "one.kind", "names[1]",
    ]  # fmt: skip


WRONG = [
    ({"name": "a", "namespace": 42}, "number into Go struct field ObjectMeta.namespace of type string"),
    ("text", "string into Go value of type v1.ObjectMeta"),
    ([1], "array into Go value of type v1.ObjectMeta"),
]


@pytest.mark.parametrize(("metadata", "text"), WRONG)
async def test_metadata_of_another_type(hosts: Any, metadata: Any, text: str) -> None:
    answer = await hosts("POST", HOSTS, host(one={**GOOD, "metadata": metadata}))
    assert answer.status == 400
    assert answer.message.startswith(
        'Host in version "v1" cannot be handled as a Host: one.metadata: Invalid value: '
    )
    assert answer.message.endswith(f"json: cannot unmarshal {text}")


async def test_what_is_not_embedded_is_nobodys_business(hosts: Any) -> None:
    odd = {"apiVersion": "v1", "kind": "%", "metadata": {"name": "..", "odd": 1}}
    made = await hosts.create(HOSTS, host(plain=odd, one={**GOOD, "metadata": {"name": "any", "odd": 1}}))
    assert made["plain"] == odd
    assert made["one"]["metadata"] == {"name": "any"}


async def test_an_update_that_leaves_a_fault_is_refused_all_the_same(hosts: Any) -> None:
    """Ratcheting is for what schemas say."""
    made = await hosts.create(HOSTS, host(one=GOOD))
    made["one"]["kind"] = "%"
    row = hosts.server.table.served_at("example.com", "v1", "hosts")
    assert [fault.field for fault in row.definition.strategy.validate_update(made, made)] == ["one.kind"]
    assert row.definition.strategy.validate_status_update(made, made) == []


@pytest.mark.parametrize(
    ("status", "faults"),
    [({"replicas": 3, "selector": "a=b"}, []), ({"replicas": -1}, [".status.replicas"]),
     ({"replicas": 1.5}, [".status.replicas"]), ({"selector": 5}, [])],
)  # fmt: skip
async def test_a_status_is_asked_for_its_own_replicas_alone(
    hosts: Any, status: Any, faults: list[str]
) -> None:
    await hosts.create(HOSTS, host(spec={"replicas": 1}))
    answer = await hosts.patch(f"{HOSTS}/h/status", {"status": status, "spec": {"replicas": -5}})
    assert answer.status == (422 if faults else 200), answer.raw
    if faults:
        assert [cause["field"] for cause in answer.json["details"]["causes"]] == faults


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "hosts", 200), ("POST", "hosts", 404), ("DELETE", "hosts", 404), ("GET", "hosts/h", 404),
     ("PATCH", "hosts/h", 404), ("PUT", "hosts/h/status", 404)],
)  # fmt: skip
async def test_a_namespaced_kind_without_a_namespace_is_not_there(
    hosts: Any, method: str, path: str, status: int
) -> None:
    answer = await hosts(
        method, f"/apis/example.com/v1/{path}", host() if method in ("POST", "PUT") else None
    )
    assert answer.status == status
    if status == 404:
        assert answer.raw == b"404 page not found\n"


async def test_entries_of_maps_are_named_in_brackets() -> None:
    schema = build_custom(
        {
            "type": "object",
            "properties": {
                "map": {"type": "object", "additionalProperties": EMBEDDED},
                "nested": {**EMBEDDED, "properties": {"inner": EMBEDDED}},
            },
        }
    )
    faults = embedded_faults({"map": {"foo": {}}, "nested": {"inner": {}}}, schema)
    assert [fault.field for fault in faults] == [
        "map[foo].apiVersion", "map[foo].kind", "nested.apiVersion", "nested.kind", "nested.inner.apiVersion",
        "nested.inner.kind",
    ]  # fmt: skip
