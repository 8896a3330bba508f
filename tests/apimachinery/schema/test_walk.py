from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.apimachinery.meta import GVK, copy_object
from tiphys.apimachinery.schema import strict_json, walk
from tiphys.apimachinery.schema.mismatch import DecodeError
from tiphys.apimachinery.schema.node import Schema
from tiphys.apis import schemas

POD = schemas.schema_for(GVK("", "v1", "Pod"))
BUDGET = schemas.schema_for(GVK("policy", "v1", "PodDisruptionBudget"))
STATEFUL_SET = schemas.schema_for(GVK("apps", "v1", "StatefulSet"))
DEPLOYMENT = schemas.schema_for(GVK("apps", "v1", "Deployment"))
SECRET = schemas.schema_for(GVK("", "v1", "Secret"))
EVENT = schemas.schema_for(GVK("events.k8s.io", "v1", "Event"))

TYPES: list[tuple[str, Any, dict[str, Any], str]] = [
    ("string for int", DEPLOYMENT, {"spec": {"replicas": "3"}},
     "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"),
    ("nested", DEPLOYMENT, {"spec": {"template": {"spec": {"containers": [{"image": 5}]}}}},
     "json: cannot unmarshal number into Go struct field Container.spec.template.spec.containers.image"
     " of type string"),
    ("list for struct", POD, {"spec": []},
     "json: cannot unmarshal array into Go struct field Pod.spec of type v1.PodSpec"),
    ("struct for list", POD, {"spec": {"containers": {}}},
     "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container"),
    ("map values", POD, {"metadata": {"labels": {"a": 1}}},
     "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string"),
    ("too large", DEPLOYMENT, {"spec": {"replicas": 2**31}},
     "json: cannot unmarshal number 2147483648 into Go struct field DeploymentSpec.spec.replicas of type"
     " int32"),
    ("bool", POD, {"spec": {"hostNetwork": "yes"}},
     "json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool"),
    ("bool is no int", DEPLOYMENT, {"spec": {"replicas": True}},
     "json: cannot unmarshal bool into Go struct field DeploymentSpec.spec.replicas of type int32"),
    ("root", POD, [], "json: cannot unmarshal array into Go value of type v1.Pod"),
    ("quantity", POD, {"spec": {"overhead": {"cpu": "x"}}},
     "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
    ("time", POD, {"metadata": {"creationTimestamp": "now"}},
     'parsing time "now" as "2006-01-02T15:04:05Z07:00": cannot parse "now" as "2006"'),
    ("base64", SECRET, {"data": {"a": "b*"}}, "illegal base64 data at input byte 1"),
    ("int or string", DEPLOYMENT, {"spec": {"strategy": {"rollingUpdate": {"maxSurge": 1.5}}}},
     "json: cannot unmarshal number 1.5 into Go struct field"
     " RollingUpdateDeployment.spec.strategy.rollingUpdate.maxSurge of type int32"),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "obj", "text"), [case[1:] for case in TYPES], ids=[c[0] for c in TYPES])
def test_wrong_types(schema: Any, obj: Any, text: str) -> None:
    with pytest.raises(DecodeError) as caught:
        walk.decode_check(obj, schema)
    assert str(caught.value) == text


RESTORED: list[tuple[str, dict[str, Any], str]] = [
    ("map", {"metadata": {"labels": "invalid"}}, "cannot restore map from string"),
    ("list", {"spec": {"containers": {}}}, "cannot restore slice from map"),
    ("struct", {"spec": []}, "cannot restore struct from: slice"),
    ("text of a number", {"metadata": {"labels": {"a": 1}}}, "cannot convert int64 to string"),
    ("text of a truth", {"metadata": {"labels": {"a": True}}}, "unrecognized type: string"),
    ("number of a text", {"spec": {"priority": "3"}}, "unrecognized type: int32"),
    ("fraction", {"spec": {"priority": 1.5}}, "cannot convert float64 to int32"),
    ("tiny fraction", {"spec": {"priority": 1e-7}}, "cannot convert float64 to int32"),
    ("text of a fraction", {"metadata": {"labels": {"a": 1.5}}}, "unrecognized type: string"),
    ("text with a name of a fraction", {"spec": {"dnsPolicy": 0.5}}, "unrecognized type: string"),
    ("text with a name of a number", {"spec": {"dnsPolicy": 1}}, "cannot convert int64 to v1.DNSPolicy"),
    ("text of a number beyond 64 bits", {"metadata": {"labels": {"a": 2**63}}}, "unrecognized type: string"),
    ("truth of a fraction", {"spec": {"hostNetwork": 1.5}}, "unrecognized type: bool"),
    ("list of a fraction", {"spec": {"containers": 1.5}}, "cannot restore slice from float64"),
    ("struct of a fraction", {"spec": 1.5}, "cannot restore struct from: float64"),
    ("truth", {"spec": {"hostNetwork": "yes"}}, "unrecognized type: bool"),
    ("too large", {"spec": {"priority": 2**31}}, "json: cannot unmarshal number 2147483648 into Go"
     " struct field PodSpec.spec.priority of type int32"),
    ("quantity", {"spec": {"overhead": {"cpu": "x"}}},
     "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
]  # fmt: skip


@pytest.mark.parametrize(("obj", "text"), [case[1:] for case in RESTORED], ids=[c[0] for c in RESTORED])
def test_wrong_types_in_the_words_of_patches(obj: Any, text: str) -> None:
    with pytest.raises(DecodeError) as caught:
        walk.decode_check(obj, POD)
    assert caught.value.restoring == text


KEPT: list[tuple[str, Any, dict[str, Any], dict[str, Any]]] = [
    ("quantities are canonical", POD, {"spec": {"overhead": {"cpu": "1000m", "memory": 0.5, "x": None}}},
     {"spec": {"overhead": {"cpu": "1", "memory": "500m", "x": "0"}}}),
    ("nulls are absent", POD, {"metadata": {"name": None, "creationTimestamp": None}, "spec": None},
     {"metadata": {}}),
    ("nulls in maps are zero", POD, {"metadata": {"labels": {"a": None}}},
     {"metadata": {"labels": {"a": ""}}}),
    ("empty lists and maps vanish", POD,
     {"metadata": {"labels": {}}, "spec": {"volumes": [], "containers": []}},
     {"metadata": {}, "spec": {"containers": []}}),
    ("plain fields that are zero vanish", POD,
     {"spec": {"hostNetwork": False, "hostname": "", "containers": [
         {"name": "", "tty": False, "env": [{"name": "a", "value": ""}], "ports": [{"hostPort": 0}]}]}},
     {"spec": {"containers": [{"name": "", "env": [{"name": "a"}], "ports": [{}]}]}}),
    ("zeros of pointers stay", POD,
     {"spec": {"priority": 0, "hostUsers": False, "runtimeClassName": "", "containers": []}},
     {"spec": {"priority": 0, "hostUsers": False, "runtimeClassName": "", "containers": []}}),
    ("zeros that are always shown stay", STATEFUL_SET, {"status": {"replicas": 0, "availableReplicas": 0}},
     {"status": {"replicas": 0, "availableReplicas": 0}}),
    ("so do those of a budget", BUDGET, {"status": {"disruptionsAllowed": 0, "observedGeneration": 0}},
     {"status": {"disruptionsAllowed": 0}}),
    ("empty structs stay", POD, {"spec": {"volumes": [{"name": "a", "emptyDir": {}}]}},
     {"spec": {"volumes": [{"name": "a", "emptyDir": {}}]}}),
    ("times are UTC seconds", POD, {"metadata": {"creationTimestamp": "2026-01-01T02:00:00.5+02:00"}},
     {"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}}),
    ("micro times", EVENT, {"eventTime": "2026-01-01T02:00:00.120000+02:00"},
     {"eventTime": "2026-01-01T00:00:00.120000Z"}),
    ("int or string", DEPLOYMENT, {"spec": {"strategy": {"rollingUpdate": {"maxSurge": "25%"}}}},
     {"spec": {"strategy": {"rollingUpdate": {"maxSurge": "25%"}}}}),
    ("free form is kept", POD, {"metadata": {"managedFields": [{"fieldsV1": {"f:x": {}}}]}},
     {"metadata": {"managedFields": [{"fieldsV1": {"f:x": {}}}]}}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "obj", "kept"), [case[1:] for case in KEPT], ids=[case[0] for case in KEPT]
)
def test_what_is_kept(schema: Any, obj: dict[str, Any], kept: dict[str, Any]) -> None:
    assert walk.decode_check(obj, schema, "Strict") == []
    assert obj == kept


def test_unknown_fields_are_named_and_dropped() -> None:
    obj: dict[str, Any] = {
        "foo": 1,
        "metadata": {"name": "a", "bar": {}},
        "spec": {"containers": [{"name": "c"}, {"name": "d", "imagee": "x", "env": [{"valu": 1}]}]},
    }
    faults = walk.decode_check(obj, POD, "Warn")
    assert faults == [
        'unknown field "foo"',
        'unknown field "metadata.bar"',
        'unknown field "spec.containers[1].imagee"',
        'unknown field "spec.containers[1].env[0].valu"',
    ]
    assert obj == {
        "metadata": {"name": "a"},
        "spec": {"containers": [{"name": "c"}, {"name": "d", "env": [{"name": ""}]}]},
    }
    assert walk.decode_check({"foo": 1}, POD, "Ignore") == []


def test_self_referring_kinds() -> None:
    crd = schemas.schema_for(GVK("apiextensions.k8s.io", "v1", "CustomResourceDefinition"))
    props: dict[str, Any] = {"properties": {"a": {"properties": {"b": {"typo": 1, "type": "string"}}}}}
    obj = {"spec": {"versions": [{"schema": {"openAPIV3Schema": props}}]}}
    assert walk.decode_check(obj, crd, "Strict") == [
        'unknown field "spec.versions[0].schema.openAPIV3Schema.properties.a.properties.b.typo"'
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["metadata", "spec", "containers", "name", "resources", "limits", "ports", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_json_settles_or_is_refused(value: Any) -> None:
    try:
        walk.decode_check(value, POD, "Warn")
    except DecodeError:
        return
    settled = copy_object(value)
    assert walk.decode_check(value, POD, "Strict") == []
    assert value == settled


LIVE: dict[str, Any] = {
    "apiVersion": "v1", "kind": "Pod",
    "metadata": {"name": "a", "labels": {"x": "1"}, "creationTimestamp": "2026-01-01T00:00:00Z"},
    "spec": {"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "1"}}}]},
    "status": {
        "phase": "Running", "startTime": "2026-01-01T00:00:00Z",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": "c", "ready": True, "restartCount": 1, "image": "i", "imageID": ""}],
    },
}  # fmt: skip
"""In shape."""
PARTS: list[dict[str, Any]] = [
    {}, {"metadata": {"labels": {"x": "2"}}}, {"metadata": {"labels": {"x": 5}}},
    {"metadata": {"annotations": {"a": "b"}, "frob": 1}}, {"status": {"phase": "Failed", "frob": {}}},
    {"status": {"startTime": "2026-01-01T01:00:00+01:00"}}, {"status": {"startTime": "soon"}},
    {"status": {"conditions": None, "hostIPs": []}}, {"status": {"conditions": [{"type": 1}]}},
    {"spec": {"overhead": {"memory": "1024Mi"}, "containers": []}}, {"spec": "x"}, {"status": {"phase": 1}},
]  # fmt: skip


def merged(live: Any, part: Any) -> Any:
    """Return the live object with a part in it: what the part does not name is the very same."""
    if not isinstance(live, dict) or not isinstance(part, dict):
        return part
    return {**live, **{key: merged(live.get(key), value) for key, value in part.items()}}


@given(parts=st.lists(st.sampled_from(PARTS), max_size=4))
def test_what_is_known_need_not_be_walked(parts: list[dict[str, Any]]) -> None:
    new = LIVE
    for part in parts:
        new = merged(new, copy_object(part))
    outcomes = []
    for obj, known in ((new, LIVE), (copy_object(new), None)):
        obj = dict(obj)
        try:
            outcomes.append((walk.decode_check(obj, POD, "Strict", known), obj))
        except DecodeError as error:
            outcomes.append((str(error), None))
    assert outcomes[0] == outcomes[1]


def test_what_is_known_is_not_changed() -> None:
    odd: dict[str, Any] = {"metadata": {"name": "a"}, "spec": {"overhead": {"cpu": "1000m"}}, "status": {}}
    new = {**odd, "metadata": {"name": "a", "labels": {}}, "status": {"phase": "Running"}}
    assert walk.decode_check(new, POD, "Strict", odd) == []
    assert new["spec"] == {"overhead": {"cpu": "1000m"}}
    assert new["metadata"] == {"name": "a"}


def test_items_of_lists_that_are_known_are_not_changed() -> None:
    kept: dict[str, Any] = {"type": "Ready", "status": "True", "lastProbeTime": None}
    live = {"status": {"conditions": [kept]}}
    new = {"status": {"conditions": [kept, {"type": "Other", "status": "True", "lastProbeTime": None}]}}
    assert walk.decode_check(new, POD, "Strict", live) == []
    assert new["status"]["conditions"] == [kept, {"type": "Other", "status": "True"}]
    assert new["status"]["conditions"][0] is kept
    assert "lastProbeTime" in kept


AMOUNTS = {
    "exponent": ('{"cpu": 1e3}', "1e3", "1k"),
    "capital": ('{"cpu": 1E3}', "1E3", "1k"),
    "zeros behind": ('{"cpu": 1.500}', "1.500", "1500m"),
    "a fraction": ('{"cpu": 0.1}', "100m", "100m"),
    "whole": ('{"cpu": 1000.0}', "1k", "1k"),
    "small": ('{"cpu": 1e-3}', "1e-3", "1m"),
    "very small": ('{"cpu": 1e-7}', "100e-9", "100e-9"),
    "long": ('{"cpu": 1e16}', "10e15", "10P"),
    "beyond integers": ('{"cpu": 18446744073709551616}', "18446744073709551616", "18446744073709552k"),
    "an integer": ('{"cpu": 1000}', "1k", "1k"),
}


@pytest.mark.parametrize("name", AMOUNTS)
def test_amounts_that_are_bare_numbers(name: str) -> None:
    """Of JSON the text counts; where that is not known, as of YAML, the number does as Go writes it."""
    text, as_json, as_yaml = AMOUNTS[name]
    containers = f'[{{"resources": {{"limits": {text}}}}}]'
    body = f'{{"spec": {{"overhead": {text}, "containers": {containers}}}}}'.encode()
    for written, expected in ((lambda: strict_json.exact(body), as_json), (None, as_yaml)):
        obj = strict_json.loads(body)
        walk.decode_check(obj, POD, written=written)
        assert obj["spec"]["overhead"] == {"cpu": expected}
        assert obj["spec"]["containers"][0]["resources"]["limits"] == {"cpu": expected}


def test_other_fractions_beside_an_amount_stay_numbers() -> None:
    body = b'{"items": [{"object": {"a": [1.5, {"b": 2.5}]}}], "spec": {"overhead": {"cpu": 1e3}}}'
    obj = {**strict_json.loads(body), "metadata": {"labels": None}}
    schema = Schema("object", properties={**POD.properties, "items": Schema(preserve_unknown=True)})
    walk.decode_check(obj, schema, written=lambda: strict_json.exact(body))
    assert obj["items"] == [{"object": {"a": [1.5, {"b": 2.5}]}}]
    assert type(obj["items"][0]["object"]["a"][0]) is float
    assert obj["spec"]["overhead"] == {"cpu": "1e3"}


def test_unknown_fields_beside_an_amount_are_told_once() -> None:
    obj = {"spec": {"odd": 1, "overhead": {"cpu": 1e3}, "other": 2}, "more": 3}
    assert walk.decode_check(obj, POD, "Strict") == [
        'unknown field "spec.odd"', 'unknown field "spec.other"', 'unknown field "more"'
    ]  # fmt: skip
