"""Fields behind feature gates: gone while those are off, but for what an object had before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tiphys.apimachinery.featuregates import DEFAULTS, DEPENDENCIES, KNOWN, FeatureGates
from tiphys.apimachinery.meta import copy_object
from tiphys.apimachinery.schema.node import Schema
from tiphys.apis.field_gates import FieldGates
from tiphys.apis.gated_fields import ROWS, Row
from tiphys.apis.schemas import schema_for
from tiphys.apis.table import TABLE

Body = dict[str, Any]
POD = ("", "Pod")
GATES = [name for row in ROWS for name in row.gates.split()]
OFF = FieldGates(FeatureGates(dict.fromkeys(GATES, False)))
ON = FieldGates(FeatureGates(dict.fromkeys(GATES, True)))
DEFAULT = FieldGates(DEFAULTS)
CLAIMS_OF_GROUP = ("spec.resourceClaims",)


def every_field() -> Iterator[Any]:
    for row in ROWS:
        for kind, place in row.places.items():
            for path in row.fields:
                whole = f"{place}.{path}" if place else path
                yield pytest.param(row, kind, whole, id=f"{row.gates}:{kind[1]}.{whole}")


def built(path: str, value: Any) -> Any:
    """Return an object with a value at a path."""
    if not path:
        return value
    step, _, rest = path.partition(".")
    inner = built(rest, value)
    if step.endswith("[]"):
        return {step[:-2]: [inner | {"name": "n"} if isinstance(inner, dict) else inner]}
    return {step[:-2]: {"k": inner}} if step.endswith("{}") else {step: inner}


def there(obj: Any, path: str) -> bool:
    for step in path.split("."):
        key = step.rstrip("[]{}")
        if not isinstance(obj, dict) or key not in obj:
            return False
        obj = obj[key]
        if step.endswith("[]"):
            if not obj:
                return False
            obj = obj[0]
        elif step.endswith("{}"):
            obj = obj["k"]
    return True


def value_of(path: str) -> Any:
    """Return what counts as used, whichever field it is."""
    return {"limits": {"cpu": "1"}} if path.endswith(".resources") else "Never"


@pytest.mark.parametrize(("row", "kind", "path"), list(every_field()))
def test_a_field_is_there_while_its_gates_are_on(row: Row, kind: tuple[str, str], path: str) -> None:
    new = built(path, value_of(path))
    wanted = copy_object(new)
    ON.drop(kind, new, None)
    assert new == wanted
    off = FieldGates(FeatureGates(dict.fromkeys(row.gates.split(), False)))
    off.drop(kind, new, None)
    assert not there(new, path) or new != wanted
    new, old = copy_object(wanted), wanted
    if row.in_use == CLAIMS_OF_GROUP:
        old = wanted | built(CLAIMS_OF_GROUP[0], "Never")
    off.drop(kind, new, old)
    assert (new == wanted) is not row.always


def has(schema: Schema | None, path: str) -> bool:
    for step in path.split("."):
        if schema is None:
            return False
        schema = schema.properties.get(step.rstrip("[]{}"))
        if schema is not None and step.endswith("[]"):
            schema = schema.items
        elif schema is not None and step.endswith("{}"):
            schema = schema.additional
    return schema is not None


@pytest.mark.parametrize(("row", "kind", "path"), list(every_field()))
def test_every_field_exists(row: Row, kind: tuple[str, str], path: str) -> None:
    group, name = kind
    versions = [gvk for gvk in (one.gvk for one in TABLE) if (gvk.group, gvk.kind) == (group, name)]
    assert any(has(schema_for(gvk), path) for gvk in versions)


def test_every_gate_can_be_changed() -> None:
    assert not [name for name in GATES if KNOWN[name].locked]
    assert set(DEPENDENCIES) < set(KNOWN)


CERTIFICATE = {"podCertificate": {"signerName": "a.b/c"}}
TRUST = {"clusterTrustBundle": {"path": "p"}}
SECRET = {"secret": {"name": "s"}}
SIGNAL = {"stopSignal": "SIGHUP"}


def pod(**spec: Any) -> Body:
    return {"spec": spec}


def projected(*sources: Body) -> list[Body]:
    return [{"name": "v", "projected": {"sources": list(sources)}}]


DEFAULT_CASES: dict[str, tuple[Body, Body, Body]] = {
    "what is alpha": (pod(schedulingGroup={"podGroupName": "g"}), pod(), pod()),
    "a lifecycle that is nothing else": (
        pod(containers=[{"lifecycle": {**SIGNAL}}, {"lifecycle": {**SIGNAL, "preStop": {}}}]),
        pod(),
        pod(containers=[{}, {"lifecycle": {"preStop": {}}}]),
    ),
    "one container had it": (
        pod(containers=[{}, {"lifecycle": {**SIGNAL}}]),
        pod(initContainers=[{"lifecycle": {**SIGNAL}}]),
        pod(containers=[{}, {"lifecycle": {**SIGNAL}}]),
    ),
    "each source by itself": (
        pod(volumes=projected(CERTIFICATE, TRUST, SECRET)),
        pod(volumes=projected(TRUST)),
        pod(volumes=projected({}, TRUST, SECRET)),
    ),
    "beta fields stay": (
        pod(hostnameOverride="h", resources={}),
        pod(),
        pod(hostnameOverride="h", resources={}),
    ),
    "empty is something": (pod(schedulingGroup={}), pod(), pod()),
}


@pytest.mark.parametrize(("new", "old", "expected"), DEFAULT_CASES.values(), ids=DEFAULT_CASES)
def test_what_v1_36_leaves_out(new: Body, old: Body, expected: Body) -> None:
    new = copy_object(new)
    DEFAULT.drop(POD, new, old)
    assert new == expected


def test_sidecars_are_no_restart_rules() -> None:
    sidecar, rules = {"restartPolicy": "Always"}, [{"action": "Restart"}]
    spec = pod(
        initContainers=[{**sidecar}, {"restartPolicy": "Never"}, {**sidecar, "restartPolicyRules": rules}],
        containers=[{**sidecar, "restartPolicyRules": rules}],
    )
    new = copy_object(spec)
    OFF.drop(POD, new, pod(initContainers=[sidecar]))
    assert new == pod(initContainers=[sidecar, {}, sidecar], containers=[{}])
    OFF.drop(POD, new := copy_object(spec), pod(containers=[sidecar]))
    assert new == spec


def test_a_source_in_another_namespace_goes_whole_unless_there_was_one() -> None:
    kind, near = ("", "PersistentVolumeClaim"), {"kind": "K", "name": "n"}
    for old, expected in (
        (pod(), pod()),
        (pod(dataSourceRef=near), pod(dataSourceRef={**near, "namespace": "m"})),
    ):
        new = pod(dataSourceRef={**near, "namespace": "m"})
        DEFAULT.drop(kind, new, old)
        assert new == expected
    DEFAULT.drop(kind, new := pod(dataSourceRef={**near}), None)
    assert new == pod(dataSourceRef=near)


def test_templates_of_groups_are_looked_at_one_by_one() -> None:
    def workload(**priorities: int | None) -> Body:
        parts = [
            {"name": name, **({"priority": value} if value else {})} for name, value in priorities.items()
        ]
        return pod(podGroupTemplates=parts)

    new = workload(a=1, b=2)
    DEFAULT.drop(("scheduling.k8s.io", "Workload"), new, workload(b=3, a=None))
    assert new == workload(a=None, b=2)


def test_a_share_stays_where_the_request_was_for_shares() -> None:
    kind = ("resource.k8s.io", "ResourceClaim")
    asked = {"devices": {"requests": [{"exactly": {"capacity": {"requests": {"m": "1"}}}}]}}
    status = {"allocation": {"devices": {"results": [{"shareID": "s", "device": "d"}]}}}
    for spec, expected in ((asked, "s"), ({}, None)):
        old = {"spec": spec}
        OFF.drop(kind, new := {"spec": copy_object(spec), "status": copy_object(status)}, old)
        assert new["status"]["allocation"]["devices"]["results"][0].get("shareID") == expected
        assert new["spec"] == spec


@pytest.mark.parametrize("said_before", [True, False])
@pytest.mark.parametrize("asked_before", [True, False])
def test_what_is_said_of_a_groups_claims_stays_where_its_spec_had_claims(
    said_before: bool, asked_before: bool
) -> None:
    asked = {"resourceClaims": [{"name": "c", "resourceClaimName": "n"}]}
    said = {"resourceClaimStatuses": [{"name": "c", "resourceClaimName": "n"}]}
    old = {"spec": asked if asked_before else {}, "status": said if said_before else {}}
    new = {"spec": old["spec"], "status": said}
    OFF.drop(("scheduling.k8s.io", "PodGroup"), new, old)
    assert new == {"spec": old["spec"], "status": said if asked_before else {}}


def test_what_is_written_shares_nothing_that_is_changed() -> None:
    statuses = [{"name": "c", "allocatedResourcesStatus": [{"name": "r"}]}]
    old = {"spec": {}, "status": {"containerStatuses": statuses}}
    new = {"spec": old["spec"], "status": {"containerStatuses": statuses}}
    OFF.drop(POD, new, old)
    assert new["status"] == {"containerStatuses": [{"name": "c"}]}
    assert statuses == [{"name": "c", "allocatedResourcesStatus": [{"name": "r"}]}]


def test_a_kind_without_such_fields_is_left_alone() -> None:
    new = {"spec": {"schedulingGroup": {"podGroupName": "g"}}}
    for kind in (("", "ConfigMap"), ("example.com", "Pod")):
        OFF.drop(kind, new, None)
    assert new == {"spec": {"schedulingGroup": {"podGroupName": "g"}}}
