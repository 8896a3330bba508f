"""ConfigMaps of the shape of an earlier one are cast in its mold, each with its own texts."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from tiphys.apiserver.admission.attributes import About
from tiphys.apiserver.cache.form import encode
from tiphys.apiserver.endpoints import bodies
from tiphys.apiserver.shortcuts.likeness import KINDS, ByShape, Kind

BASE = "/api/v1/namespaces/here"
MAPS = f"{BASE}/configmaps"
POLICIES = "/apis/admissionregistration.k8s.io/v1"


@pytest.fixture(autouse=True)
async def _namespace(api: Any) -> None:
    await api.create("/api/v1/namespaces", {"metadata": {"name": "here"}})


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Gets the names of those that went the long way."""
    decoded: list[str] = []
    decode = bodies.decode

    def noted(*arguments: Any) -> Any:
        obj = decode(*arguments)
        decoded.append(obj["metadata"].get("name", ""))
        return obj

    monkeypatch.setattr(bodies, "decode", noted)
    return decoded


def config(name: str, **data: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data or {"k": f"text of {name}", "other.key": ""}}


def shared(obj: Any) -> Any:
    """Return what objects of one shape share."""
    own = ("name", "uid", "resourceVersion")
    meta = {key: value for key, value in obj["metadata"].items() if key not in own}
    return {**obj, "metadata": meta, "data": list(obj["data"])}


SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "as Go writes it": {"kind": "ConfigMap", "apiVersion": "v1"},
    "immutable": {"immutable": True},
    "binary data before": {"binaryData": {"b": "AAEC"}},
    "what is dropped": {"immutable": None, "binaryData": {}},
}
METADATA: dict[str, dict[str, Any]] = {
    "a name alone": {},
    "labels, notes and an owner": {
        "labels": {"app": "x"}, "annotations": {"a": "b"}, "finalizers": ["x.io/y"], "namespace": "here",
        "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}],
    },
    "what the server gives": {"creationTimestamp": None, "uid": "mine", "generation": 7, "managedFields": []},
}  # fmt: skip


@pytest.mark.parametrize("metadata", METADATA)
@pytest.mark.parametrize("case", SHAPES)
async def test_one_that_is_cast_is_what_it_would_have_been(
    api: Any, long: list[str], case: str, metadata: str
) -> None:
    def body(name: str) -> dict[str, Any]:
        found = {**SHAPES[case], **config(name)}
        return {**found, "metadata": {**METADATA[metadata], **found["metadata"]}}

    made = [await api.create(MAPS, body(name)) for name in ("a", "b", "c.d", "e")]
    assert long == ["a", "b"]
    assert [shared(one) for one in made] == [shared(made[0])] * 4
    assert len({one["metadata"]["uid"] for one in made}) == 4
    server = api.server
    row = server.table.by_path("", "v1", "configmaps")
    for one in made:
        name = one["metadata"]["name"]
        assert one["data"] == body(name)["data"]
        assert await api.get(f"{MAPS}/{name}") == one
        stored = server.objects.at_hand(row, server.objects.key_of(row, "here", name))
        assert encode(stored.object) == stored.value
        assert orjson.loads(stored.raw) == stored.object
        assert list(stored.object) == list(made[0])


async def test_time_and_manager_are_the_creators_own(api: Any, long: list[str]) -> None:
    first, _ = [await api.create(MAPS, config(name)) for name in ("a", "b")]
    api.clock.advance(60)
    third = await api.create(f"{MAPS}?fieldManager=me", config("c"))
    assert long == ["a", "b"]
    (owned,), (own,) = first["metadata"]["managedFields"], third["metadata"]["managedFields"]
    assert own == {**owned, "manager": "me", "time": "2026-01-01T00:01:00Z"}
    assert third["metadata"]["creationTimestamp"] == "2026-01-01T00:01:00Z"


async def test_changing_one_leaves_the_others_alone(api: Any) -> None:
    for name in ("a", "b", "c"):
        await api.create(MAPS, config(name))
    for name in ("b", "c"):  # whose request left the mold, and one that was cast in it
        await api.patch(
            f"{MAPS}/{name}", {"data": {"k": "new", "x": "y"}, "metadata": {"labels": {"l": "m"}}}
        )
    last = await api.create(MAPS, config("d"))
    assert shared(last) == shared(await api.get(f"{MAPS}/a"))
    assert last["data"] == config("d")["data"]
    assert (await api.get(f"{MAPS}/c"))["data"] == {"k": "new", "other.key": "", "x": "y"}


REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "a text that is a number": (config("c", k=1, **{"other.key": ""}), 400, "unmarshal number into"),
    "a key that cannot be": (config("c", k="", **{"other/key": ""}), 422, "data[other/key]: Invalid value"),
    "a name that cannot be": (config("c_"), 422, "metadata.name: Invalid value"),
    "another namespace": (
        {**config("c"), "metadata": {"name": "c", "namespace": "x"}}, 400, "does not match the namespace"),
    "a name that is taken": (config("b"), 409, 'configmaps "b" already exists'),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
async def test_faults_are_told_of_as_ever(api: Any, case: str) -> None:
    for name in ("a", "b"):
        await api.create(MAPS, config(name))
    body, status, told = REFUSED[case]
    for _ in range(3):
        answer = await api("POST", MAPS, body)
        assert answer.status == status
        assert told in answer.message


async def test_what_is_told_of_is_told_of_each_time(api: Any, long: list[str]) -> None:
    doubled = b'{"metadata":{"name":"NAME"},"data":{"k":"v","k":"w"}}'
    unknown = b'{"metadata":{"name":"NAME"},"data":{"k":"v"},"odd":1}'
    for index in range(3):
        for which, (body, told) in enumerate(
            ((doubled, 'duplicate field "data.k"'), (unknown, 'unknown field "odd"'))
        ):
            answer = await api("POST", MAPS, body.replace(b"NAME", b"n%d-%d" % (which, index)))
            assert answer.headers["warning"] == f"299 - {json.dumps(told)}"
            strict = await api("POST", f"{MAPS}?fieldValidation=Strict", body.replace(b"NAME", b"x"))
            assert (strict.status, told in strict.message) == (400, True)
    assert len(long) == 6  # what is refused is never decoded


async def test_another_shape_namespace_or_validation_is_another_mold(api: Any, long: list[str]) -> None:
    for name in ("a", "b"):
        await api.create(MAPS, config(name))
    await api.create("/api/v1/namespaces/default/configmaps", config("c"))
    await api.create(MAPS, config("d", k="v", more=""))
    await api.create(MAPS, {**config("e"), "immutable": True})
    await api.create(f"{MAPS}?fieldValidation=Strict", config("f"))
    await api.create(f"{MAPS}?dryRun=All", config("g"))
    assert long == ["a", "b", "c", "d", "e", "f", "g"]


async def test_another_kind_is_another_mold(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kind is in the path, and need not be in the body."""
    other = Kind(lambda body: ByShape.of(body, "data"), About("", "serviceaccounts", "", "CREATE"))
    monkeypatch.setitem(KINDS, ("", "serviceaccounts"), other)
    for name in ("a", "b", "c"):
        await api.create(MAPS, config(name))
    for name in ("a", "b"):
        assert (await api.create(f"{BASE}/serviceaccounts", config(name)))["kind"] == "ServiceAccount"


async def test_a_namespace_that_goes_takes_no_more(api: Any, long: list[str]) -> None:
    for name in ("a", "b", "c"):
        await api.create(MAPS, config(name))
    await api("DELETE", BASE)
    answer = await api("POST", MAPS, config("d"))
    assert (answer.status, long) == (403, ["a", "b", "d"])
    assert "because it is being terminated" in answer.message


async def test_quotas_are_charged_for_each(api: Any, long: list[str]) -> None:
    path, hard = f"{BASE}/resourcequotas", {"count/configmaps": "4"}
    made = await api.create(path, {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    await api.put(f"{path}/q/status", {**made, "status": {"hard": hard, "used": {"count/configmaps": "0"}}})
    statuses = [(await api("POST", MAPS, config(f"c{index}"))).status for index in range(5)]
    assert statuses == [201, 201, 201, 201, 403]
    assert long[-2:] == ["c0", "c1"]


async def _policy(api: Any, kind: str, spec: dict[str, Any], binding: dict[str, Any]) -> None:
    rule = {"apiGroups": [""], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["configmaps"]}
    spec = {"matchConstraints": {"resourceRules": [rule]}, **spec}
    await api.create(f"{POLICIES}/{kind}admissionpolicies", {"metadata": {"name": "p"}, "spec": spec})
    bound = {"metadata": {"name": "b"}, "spec": {"policyName": "p", **binding}}
    await api.create(f"{POLICIES}/{kind}admissionpolicybindings", bound)
    await api.settle()


async def test_policies_see_the_texts_of_each(api: Any, long: list[str]) -> None:
    for name in ("a", "b"):
        await api.create(MAPS, config(name))
    rules = [{"expression": "object.data.k == 'text of c'", "message": "be c"}]
    await _policy(api, "validating", {"validations": rules}, {"validationActions": ["Deny"]})
    assert (await api("POST", MAPS, config("c"))).status == 201
    assert "be c" in (await api("POST", MAPS, config("d"))).message
    assert long[:2] == ["a", "b"]
    assert not {"c", "d"} & set(long)


async def test_policies_that_change_objects_see_each(api: Any) -> None:
    for name in ("a", "b"):
        await api.create(MAPS, config(name))
    expression = "Object{data: {'k': object.data.k + '!'}}"
    mutation = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}
    await _policy(api, "mutating", {"reinvocationPolicy": "Never", "mutations": [mutation]}, {})
    for name in ("c", "d", "e"):
        assert (await api.create(MAPS, config(name)))["data"]["k"] == f"text of {name}!"


async def test_a_mold_weighs_what_its_texts_do(api: Any) -> None:
    """Which are not in the key that it is found by."""
    molds = api.server.backend.molds._molds
    for name in ("a", "b"):
        await api.create(MAPS, config(name, k="x" * 20_000))
    assert molds._weight > 100_000
