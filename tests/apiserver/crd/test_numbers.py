"""Numbers of custom objects: how they were written is known until they are stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.apiserver.crd.conftest import Crds

from tiphys.apiserver.audit.assembly import AuditOptions
from tiphys.apiserver.audit.sinks import LogOptions
from tiphys.apiserver.evaluating import LARGE_BYTES

LEAST = "spec.replicas in body should be greater than or equal to 0"

OBJECT = 'Foo.example.com "a" is invalid: spec: Invalid value: "object":'


def sent(crds: Any, number: str, **spec: Any) -> bytes:
    return orjson.dumps(crds.foo(replicas="?", **spec)).replace(b'"?"', number.encode())


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("-10000000", "-10000000"),
        ("-1e7", "-1e+07"),
        ("-10000000.0", "-1e+07"),
        ("-2.0", "-2"),
        ("-2", "-2"),
        ("-99999999999999999999", "-1e+20"),
    ],
)
async def test_faults_show_it_as_it_was_sent(api: Any, crds: Any, number: str, shown: str) -> None:
    await crds.make()
    answer = await api("POST", crds.foos, sent(crds, number))
    assert answer.status == 422
    told = [one["message"] for one in answer.json["details"]["causes"]]
    assert f"Invalid value: {shown}: {LEAST}" in told


async def test_where_a_text_belongs_it_is_what_it_was_sent_as(api: Any, crds: Any) -> None:
    await crds.make()
    for number, kind in (("2.0", "number"), ("2", "integer")):
        answer = await api(
            "POST", crds.foos, orjson.dumps(crds.foo(note="?")).replace(b'"?"', number.encode())
        )
        told = f'spec.note: Invalid value: "{kind}": spec.note in body must be of type string: "{kind}"'
        assert answer.message == f'Foo.example.com "a" is invalid: {told}'


async def test_patches_keep_it_yaml_does_not(api: Any, crds: Any) -> None:
    await crds.make()
    await api.create(crds.foos, crds.foo(replicas=1))
    path, told = f"{crds.foos}/a", f"spec.replicas: Invalid value: -1e+07: {LEAST}"
    merged = await api.patch(path, b'{"spec":{"replicas":-1e7}}')
    operation = b'[{"op":"replace","path":"/spec/replicas","value":-1e7}]'
    operated = await api("PATCH", path, operation, content_type="application/json-patch+json")
    for answer in (merged, operated):
        assert (answer.status, answer.message) == (422, f'Foo.example.com "a" is invalid: {told}')
    body = b"apiVersion: example.com/v1\nkind: Foo\nmetadata: {name: b}\nspec: {image: x, replicas: -1e7}\n"
    answer = await api("POST", crds.foos, body, content_type="application/yaml")
    assert answer.message == f'Foo.example.com "b" is invalid: {told.replace("-1e+07", "-10000000")}'


async def test_rules_take_no_fraction_for_a_whole_number(api: Any, crds: Any) -> None:
    made = crds.version()
    spec = made["schema"]["openAPIV3Schema"]["properties"]["spec"]
    rules = ["self.replicas >= 0", "!has(self.size) || self.size != 5"]
    spec["x-kubernetes-validations"] = [{"rule": rule} for rule in rules]
    await crds.make(made)
    answer = await api("POST", crds.foos, sent(crds, "2.0", size=2))
    assert (answer.status, answer.message) == (
        422,
        f"{OBJECT} invalid data, expected int, got float64 evaluating rule: {rules[0]}",
    )
    body = sent(crds, "2", size="!").replace(b'"!"', b"2.0")
    answer = await api("POST", crds.foos, body)
    assert answer.message == (
        f"{OBJECT} invalid data, expected XIntOrString value to be either a string or integer evaluating "
        f"rule: {rules[1]}"
    )
    await api.create(crds.foos, sent(crds, "2", size=2))


async def test_what_a_scale_shows_is_no_fraction(api: Any, crds: Any) -> None:
    scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    await crds.make(crds.version(subresources={"scale": scale}))
    answer = await api("POST", crds.foos, sent(crds, "2.0"))
    assert answer.message == (
        'Foo.example.com "a" is invalid: .spec.replicas: Invalid value: 0: .spec.replicas accessor error: '
        "2 is of the type float64, expected int64"
    )


async def test_the_audit_log_has_it_whole(serving: Any, tmp_path: Path) -> None:
    policy, log = tmp_path / "policy.json", tmp_path / "audit.log"
    rules = [{"level": "Request", "verbs": ["create"]}]
    policy.write_bytes(orjson.dumps({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules}))
    async with serving(audit=AuditOptions(policy, LogOptions(str(log)))) as api:
        crds = Crds(api)
        await crds.make()
        assert (await api("POST", crds.foos, sent(crds, "3.0", free={"a": 1.5}))).status == 201
    event = log.read_bytes().splitlines()[-1]
    assert b'"replicas":3,"free":{"a":1.5}' in event


async def test_it_is_whole_once_it_is_stored(api: Any, crds: Any) -> None:
    """Be it selected by, or what an update was before."""
    made = crds.version(selectableFields=[{"jsonPath": ".spec.replicas"}])
    spec = made["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["replicas"]["x-kubernetes-validations"] = [
        {"rule": "oldSelf <= self", "message": "grows", "optionalOldSelf": False}
    ]
    await crds.make(made)
    assert (await api("POST", crds.foos, sent(crds, "3.0"))).status == 201
    found = await api.get(f"{crds.foos}?fieldSelector=spec.replicas=3")
    assert [type(one["spec"]["replicas"]) for one in found["items"]] == [int]
    answer = await api.patch(f"{crds.foos}/a", {"spec": {"replicas": 2}})
    assert answer.message.endswith("spec.replicas: Invalid value: 2: grows")


FRACTIONS = {
    "1.0": "1",
    "2e0": "2",
    "1E2": "100",
    "-0": "0",
    "0.000001": "0.000001",
    "0.0000015": "0.0000015",
    "1e-7": "1e-7",
    "9223372036854775807": "9223372036854775807",
    "9223372036854775808": "9223372036854776000",
    "18446744073709551616": "18446744073709552000",
    "1e20": "100000000000000000000",
    "1e21": "1e+21",
    "-1.5e300": "-1.5e+300",
}


@pytest.mark.parametrize("number", FRACTIONS)
async def test_numbers_are_written_as_go_writes_them(api: Any, crds: Any, number: str) -> None:
    await crds.make()
    body = orjson.dumps(crds.foo(free={"a": [0, "1e20"]})).replace(b"[0,", b"[%b," % number.encode())
    wanted = b'"free":{"a":[%b,"1e20"]}' % FRACTIONS[number].encode()
    path = f"{crds.foos}/a"
    dry = await api("POST", f"{crds.foos}?dryRun=All", body)
    made = await api("POST", crds.foos, body)
    for answer in (dry, made, await api("GET", path), await api("GET", crds.foos)):
        assert wanted in answer.raw
    pretty = (await api("GET", f"{path}?pretty=1")).raw
    assert b'"a": [\n        %b,\n' % FRACTIONS[number].encode() in pretty
    patched = await api.patch(path, {"metadata": {"labels": {"x": "y"}}})
    assert wanted in patched.raw


async def test_numbers_in_yaml(api: Any, crds: Any) -> None:
    await crds.make()
    await api("POST", crds.foos, crds.foo(free={"a": [1e-7, 123456789.5, 2.0, 2.0**64]}))
    answer = await api("GET", f"{crds.foos}/a", accept="application/yaml")
    written = answer.raw.decode().replace(" ", "")
    assert "free:\na:\n-1e-07\n-1.234567895e+08\n-2\n-1.8446744073709552e+19\n" in written


CELLS = {
    "1e-7": b'1e-7,0,"1e-07"',
    "123456789.5": b'123456789.5,123456789,"1.234567895e+08"',
    "1e20": b'100000000000000000000,-9223372036854775808,"1e+20"',
    "9223372036854775808": b'9223372036854776000,-9223372036854775808,"9.223372036854776e+18"',
}


@pytest.mark.parametrize("number", CELLS)
async def test_numbers_in_columns(api: Any, crds: Any, number: str) -> None:
    columns = [{"name": type_, "type": type_, "jsonPath": ".spec.free.a"} for type_ in ("number", "integer")]
    columns.append({"name": "string", "type": "string", "jsonPath": ".spec.free.a"})
    await crds.make(crds.version(additionalPrinterColumns=columns))
    await api("POST", crds.foos, orjson.dumps(crds.foo(free={"a": "?"})).replace(b'"?"', number.encode()))
    answer = await api("GET", crds.foos, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert b'"cells":["a",%b]' % CELLS[number] in answer.raw


@pytest.mark.parametrize("size", [1, LARGE_BYTES], ids=["small", "large"])
@pytest.mark.parametrize("number", ["1.0", "0.00000001", "123456789012345678901234567890"])
async def test_what_is_answered_is_what_is_stored(api: Any, crds: Any, number: str, size: int) -> None:
    """Whether or not it is read again to be shown."""
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    await crds.make(crds.version(schema={"openAPIV3Schema": free}))
    head = "apiVersion: example.com/v1\nkind: Foo\nmetadata: {name: a}\n"
    body = f"{head}spec: {{number: {number}, text: '{'x' * size}'}}\n".encode()
    answer = await api("POST", crds.foos, body, content_type="application/yaml")
    assert answer.status == 201
    assert (await api("GET", f"{crds.foos}/a")).raw == answer.raw
    listed = (await api.get(crds.foos))["items"]
    assert listed == [answer.json]
