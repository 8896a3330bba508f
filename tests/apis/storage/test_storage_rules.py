"""What may not be in storage classes, attachments, CSI drivers and nodes, capacities and attributes classes."""

# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tiphys.apimachinery.featuregates import FeatureGates, using
from tiphys.apimachinery.meta import gvk_of
from tiphys.apis.storage.validation import validate_csi_node_update
from tiphys.apis.strategies import strategy_for

Body = dict[str, Any]

SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


def kind(name: str, **fields: Any) -> Body:
    return {"apiVersion": "storage.k8s.io/v1", "kind": name, "metadata": {"name": "x"}, **fields}


def storage_class(**fields: Any) -> Body:
    return kind("StorageClass", **{"provisioner": "a.b/c", **fields})


def topology(*expressions: Body) -> Body:
    return {"matchLabelExpressions": list(expressions)}


def attachment(source: Body | None = None, *, status: Body | None = None, **spec: Any) -> Body:
    source = {"persistentVolumeName": "v"} if source is None else source
    inner = {"attacher": "a.b", "nodeName": "n", "source": source, **spec}
    return kind("VolumeAttachment", spec=inner, **({} if status is None else {"status": status}))


def inline(**spec: Any) -> Body:
    csi = {"driver": "a.b", "volumeHandle": "h"}
    return attachment({"inlineVolumeSpec": {"accessModes": ["ReadWriteOnce"], "csi": csi, **spec}})


def driver(**spec: Any) -> Body:
    return kind("CSIDriver", spec=spec)


def node(**driver: Any) -> Body:
    return kind("CSINode", spec={"drivers": [{"name": "a.b", "nodeID": "n", **driver}]})


def capacity(**fields: Any) -> Body:
    return kind("CSIStorageCapacity", **{"storageClassName": "a", **fields})


def attributes(**fields: Any) -> Body:
    return kind("VolumeAttributesClass", **{"driverName": "a.b", "parameters": {"a": "b"}, **fields})


ZONE = {"key": "zone", "values": ["a"]}
T = "allowedTopologies"
IN = "spec.source.inlineVolumeSpec"
D = "spec.drivers[0]"
ONE = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
NEW: dict[str, tuple[Body, list[str]]] = {
    "class": (storage_class(allowedTopologies=[topology(ZONE)]), []),
    "class choices": (
        storage_class(reclaimPolicy="Recycle", volumeBindingMode="X", parameters={"": "x"}),
        [
            'parameters: Invalid value: "": field can not be empty.',
            'reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"',
            'volumeBindingMode: Unsupported value: "X": supported values: "Immediate", "WaitForFirstConsumer"',
        ],
    ),
    "many parameters": (
        storage_class(parameters={str(number): "" for number in range(513)}),
        ["parameters: Too long: may not be more than 512 bytes"],
    ),
    "large parameters": (
        storage_class(parameters={"a": "x" * 262144}),
        ["parameters: Too long: may not be more than 262144 bytes"],
    ),
    "topologies": (
        storage_class(
            allowedTopologies=[
                topology({"key": "zone"}),
                topology({"key": "a", "values": ["b", "b"]}, ZONE, ZONE),
            ]
        ),
        [
            f"{T}[0].matchLabelExpressions[0].values: Required value",
            f'{T}[1].matchLabelExpressions[0].values[1]: Duplicate value: "b"',
            f'{T}[1].matchLabelExpressions[2].key: Duplicate value: "zone"',
        ],
    ),
    "topology three times": (
        storage_class(allowedTopologies=[topology(ZONE), topology(ZONE), topology(ZONE)]),
        [
            f'{T}[1].matchLabelExpressions: Duplicate value: ""',
            *[f'{T}[2].matchLabelExpressions: Duplicate value: ""'] * 2,
        ],
    ),
    "attachment": (attachment(), []),
    "attachment of nothing": (attachment({}), [f"spec.source: Required value: {ONE}"]),
    "attachment of two": (
        attachment({"inlineVolumeSpec": {}, "persistentVolumeName": "v"}),
        [f"spec.source: Forbidden: {ONE}"],
    ),
    "attachment of no name": (
        attachment({"persistentVolumeName": ""}),
        [
            "spec.source.persistentVolumeName: Required value: must specify non empty persistentVolumeName",
            f'spec.source.persistentVolumeName: Invalid value: "": {SUBDOMAIN}',
        ],
    ),
    "attachment to nothing": (
        attachment(nodeName="", attacher=""),
        [
            "spec.attacher: Required value",
            f'spec.nodeName: Invalid value: "": {SUBDOMAIN}',
        ],
    ),
    "inline": (inline(), []),
    "inline of a claim": (
        inline(
            claimRef={"name": "c"},
            capacity={"storage": "1Gi"},
            csi=None,
            persistentVolumeReclaimPolicy="Delete",
            nodeAffinity={},
            hostPath={"path": "/x"},
            storageClassName="a",
            volumeMode="Block",
        ),
        [
            f"{IN}.claimRef: Forbidden: may not be specified in the context of inline volumes",
            f"{IN}.capacity: Forbidden: may not be specified in the context of inline volumes",
            f"{IN}.csi: Required value: has to be specified in the context of inline volumes",
            f"{IN}.persistentVolumeReclaimPolicy: Forbidden: may only be Retain in the context of inline volumes",
            f"{IN}.nodeAffinity: Forbidden: may not be specified in the context of inline volumes",
            f"{IN}.storageClassName: Forbidden: may not be specified in the context of inline volumes",
            f"{IN}.volumeMode: Forbidden: may not specify volumeMode other than Filesystem in the context of inline volumes",
        ],
    ),
    "driver": (driver(), []),
    "driver choices": (
        driver(fsGroupPolicy="X", volumeLifecycleModes=["X"], nodeAllocatableUpdatePeriodSeconds=9),
        [
            'spec.fsGroupPolicy: Unsupported value: "X": supported values: "File", "None", "ReadWriteOnceWithFSType"',
            'spec.volumeLifecycleModes: Unsupported value: "X": supported values: "Persistent", "Ephemeral"',
            "spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 9: must be greater than or equal to 10 seconds",
        ],
    ),
    "driver tokens in secrets": (
        driver(serviceAccountTokenInSecrets=False),
        [
            "spec.serviceAccountTokenInSecrets: Invalid value: false: serviceAccountTokenInSecrets is set but no "
            "tokenRequests are specified"
        ],
    ),
    "driver tokens": (
        driver(tokenRequests=[{"expirationSeconds": 1}, {}, {"audience": "a", "expirationSeconds": 1 << 33}]),
        [
            "spec.tokenRequests[0].expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes",
            'spec.tokenRequests[1].audience: Duplicate value: ""',
            "spec.tokenRequests[2].expirationSeconds: Invalid value: 8589934592: may not specify a duration larger than 2^32 seconds",
        ],
    ),
    "node": (node(), []),
    "node driver": (
        node(nodeID="", allocatable={"count": -1}, topologyKeys=["a", "a"]),
        [
            f"{D}.nodeID: Required value",
            f"{D}.allocatable.count: Invalid value: -1: must be greater than or equal to 0",
            f'{D}: Duplicate value: "a"',
        ],
    ),
    "long node": (
        node(nodeID="x" * 257),
        [f'{D}.nodeID: Invalid value: "{"x" * 257}": must be 256 characters or less'],
    ),
    "node driver twice": (
        kind("CSINode", spec={"drivers": [{"name": "a.b", "nodeID": "n"}] * 2}),
        ['spec.drivers[1].name: Duplicate value: "a.b"'],
    ),
    "capacity": (
        capacity(
            storageClassName="",
            capacity="-1",
            nodeTopology={"matchExpressions": [{"key": "a", "operator": "X"}]},
        ),
        [
            'nodeTopology.matchExpressions[0].operator: Invalid value: "X": not a valid selector operator',
            f'storageClassName: Invalid value: "": {SUBDOMAIN}',
            'capacity: Invalid value: "-1": must be greater than or equal to 0',
        ],
    ),
    "attributes": (
        attributes(driverName="", parameters={}),
        [
            "driverName: Required value",
            "parameters: Required value: must contain at least one key/value pair",
        ],
    ),
}


@pytest.mark.parametrize(("obj", "expected"), NEW.values(), ids=NEW)
def test_new(obj: Body, expected: list[str], faults_of_new: Callable[[Body], list[str]]) -> None:
    assert faults_of_new(obj) == expected


SAME_DRIVER = 'spec.drivers: Invalid value: {"Name":"a.b","NodeID":"n","TopologyKeys":["a","a"],"Allocatable":null}: field is immutable'
VALUE = {"matchExpressions": [{"key": "a", "operator": "In", "values": ["a b"]}]}
CHANGED: dict[str, tuple[Body, Body, list[str]]] = {
    "class": (
        storage_class(),
        storage_class(
            provisioner="d",
            parameters={"a": "b"},
            reclaimPolicy="Retain",
            volumeBindingMode="WaitForFirstConsumer",
        ),
        [
            'parameters: Invalid value: {"a":"b"}: field is immutable',
            'provisioner: Invalid value: "d": field is immutable',
            'reclaimPolicy: Invalid value: "Retain": field is immutable',
            'volumeBindingMode: Invalid value: "WaitForFirstConsumer": field is immutable',
        ],
    ),
    "class that loses all": (
        storage_class(parameters={"a": "b"}),
        storage_class(provisioner=""),
        [
            "provisioner: Required value",
            "parameters: Invalid value: null: field is immutable",
            'provisioner: Invalid value: "": field is immutable',
        ],
    ),
    "attachment of another volume": (
        attachment(),
        attachment({"persistentVolumeName": "_"}),
        [
            *[f'spec.source.persistentVolumeName: Invalid value: "_": {SUBDOMAIN}'] * 2,
            'spec: Invalid value: {"Attacher":"a.b","Source":{"PersistentVolumeName":"_","InlineVolumeSpec":null},"NodeName":"n"}: field is immutable',
        ],
    ),
    "driver": (
        driver(),
        driver(attachRequired=False),
        ["spec.attachedRequired: Invalid value: false: field is immutable"],
    ),
    "how much a node takes": (node(), node(allocatable={"count": 5}), []),
    "node": (
        node(),
        node(nodeID="m"),
        [
            'spec.drivers: Invalid value: {"Name":"a.b","NodeID":"m","TopologyKeys":null,"Allocatable":null}: field is immutable'
        ],
    ),
    "capacity": (
        capacity(),
        capacity(storageClassName="b", nodeTopology={}, capacity="1Gi"),
        [
            "nodeTopology: Invalid value: {}: field is immutable",
            'storageClassName: Invalid value: "b": field is immutable',
        ],
    ),
    "whole class": (
        storage_class(allowedTopologies=[topology(ZONE)]),
        storage_class(allowedTopologies=[topology({"key": "zone"})]),
        [f"{T}[0].matchLabelExpressions[0].values: Required value"],
    ),
    "rules of nodes": (
        node(),
        node(topologyKeys=["a", "a"]),
        [*[f'{D}: Duplicate value: "a"'] * 2, SAME_DRIVER],
    ),
    "capacity below nothing": (
        capacity(),
        capacity(capacity="-1"),
        ['capacity: Invalid value: "-1": must be greater than or equal to 0'],
    ),
    "selector of old": (capacity(nodeTopology=VALUE), capacity(nodeTopology=VALUE), []),
    "attributes": (
        attributes(),
        attributes(driverName="c", parameters={}),
        [
            "driverName: Forbidden: updates to driverName are forbidden.",
            "parameters: Forbidden: updates to parameters are forbidden.",
            "parameters: Required value: must contain at least one key/value pair",
        ],
    ),
}


@pytest.mark.parametrize(("old", "new", "expected"), CHANGED.values(), ids=CHANGED)
def test_changed(
    old: Body, new: Body, expected: list[str], faults_of_change: Callable[[Body, Body], list[str]]
) -> None:
    assert faults_of_change(old, new) == expected


def test_drivers_are_compared_in_their_old_order(
    faults_of_change: Callable[[Body, Body], list[str]],
) -> None:
    old, new = (
        kind("CSINode", spec={"drivers": [{"name": name, "nodeID": node} for name in names]})
        for names, node in (("ab", "n"), ("ba", "m"))
    )
    found = faults_of_change(old, new)
    assert ['"Name":"a"' in text for text in found] == [True, False]


def test_a_driver_that_nodes_may_lack_is_behind_a_gate() -> None:
    obj = driver(attachRequired=True, podInfoOnMount=True, storageCapacity=True, seLinuxMount=True)
    obj["spec"]["preventPodSchedulingIfMissing"] = False
    rules = strategy_for(gvk_of(obj))
    assert [str(fault) for fault in rules.validate_update(obj, obj)] == [
        "spec.preventPodSchedulingIfMissing: Forbidden: preventPodSchedulingIfMissing requires the VolumeLimitScaling feature gate to be enabled"
    ]
    with using(FeatureGates({"VolumeLimitScaling": True})):
        assert rules.validate(obj) == []


def test_status_of_attachments(faults_of_status: Callable[[Body, Body, Body], list[str]]) -> None:
    error = {"message": "ä" * 513, "errorCode": -1}
    assert (
        faults_of_status(attachment(), {}, {"attachError": error})
        == [
            "status.attachError.message: Too long: may not be more than 262144 bytes",
            "status.attachError.errorCode: Invalid value: -1: must be between 0 and 2147483647, inclusive",
        ]
        * 2
    )


def test_changes_of_drivers_are_counted(kept_of_change: Callable[[Body, Body], Body]) -> None:
    assert "generation" not in kept_of_change(driver(), driver())["metadata"]
    assert kept_of_change(driver(), driver(requiresRepublish=True))["metadata"]["generation"] == 1


def test_tokens_that_may_be_shown(
    warnings_of: Callable[[Body], list[str]], warnings_of_change: Callable[[Body, Body], list[str]]
) -> None:
    tokens = driver(tokenRequests=[{"audience": "a"}])
    text = (
        "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible "
        "logging of tokens in volume attributes"
    )
    assert warnings_of(tokens) == [text]
    assert warnings_of(driver()) == []
    assert warnings_of(driver(tokenRequests=[{}], serviceAccountTokenInSecrets=False)) == []
    assert warnings_of_change(driver(), tokens) == [text]
    assert warnings_of_change(tokens, tokens) == []


OLD = "failure-domain.beta.kubernetes.io/zone"
TEXT = 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead'


def test_old_labels_of_nodes(warnings_of: Callable[[Body], list[str]]) -> None:
    classes = storage_class(allowedTopologies=[topology({"key": OLD, "values": ["a"]})])
    assert warnings_of(classes) == [f"{T}[0].matchLabelExpressions[0].key: {TEXT}"]
    expressions = [{"key": OLD, "operator": "Exists"}]
    assert warnings_of(
        capacity(nodeTopology={"matchLabels": {OLD: "a"}, "matchExpressions": expressions})
    ) == [
        f"nodeTopology.matchExpressions[0].key: {OLD} is {TEXT}",
        f"nodeTopology.matchLabels.{OLD}: {TEXT}",
    ]


class Driver(dict[str, Any]):
    """A driver that counts how often it is asked for what it has."""

    asked = 0

    def get(self, key: str, default: Any = None) -> Any:
        Driver.asked += 1
        return super().get(key, default)


def _asked(count: int) -> int:
    node = {"spec": {"drivers": [Driver(name=f"d{at}", nodeID="x") for at in range(count)]}}
    before = Driver.asked
    assert validate_csi_node_update(node, node) == []
    return Driver.asked - before


def test_drivers_of_nodes_are_compared_by_name_and_not_with_each_other() -> None:
    assert _asked(80) < 5 * _asked(20)
