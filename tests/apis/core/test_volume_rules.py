"""Faults of volumes and of the claims on them."""

# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.apis.core.test_object_rules import BAD_SIZE, Object, changed, faults, status_faults

from tiphys.apimachinery.meta import copy_object

SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


def volume(**spec: Any) -> Object:
    given = {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
        "persistentVolumeReclaimPolicy": "Retain",
        "csi": {"driver": "a.b", "volumeHandle": "h"},
        **spec,
    }
    return {"spec": {key: value for key, value in given.items() if value is not None}}


VOLUMES: dict[str, tuple[Object, list[str]]] = {
    "fine": (volume(), []),
    "capacity": (
        volume(capacity={"storage": "0"}),
        [f'spec.capacity[storage]: Invalid value: "0": {BAD_SIZE}'],
    ),
    "capacity of what": (
        volume(capacity={"cpu": "1"}),
        ['spec.capacity: Unsupported value: {"cpu":"1"}: supported values: "storage"'],
    ),
    "driver": (
        volume(csi={}),
        [
            "spec.csi.driver: Required value",
            "spec.csi.volumeHandle: Required value",
        ],
    ),
    "secret of a driver": (
        volume(csi={"driver": "a.b", "volumeHandle": "h", "nodePublishSecretRef": {"name": "x"}}),
        ["spec.csi.nodePublishSecretRef.namespace: Required value"],
    ),
    "local": (
        volume(csi=None, local={"path": "/a/../b"}),
        [
            "spec.local.path: Invalid value: \"/a/../b\": must not contain '..'",
            "spec.nodeAffinity: Required value: Local volume requires node affinity",
        ],
    ),
    "affinity": (
        volume(nodeAffinity={}),
        ["spec.nodeAffinity.required: Required value: must specify required node constraints"],
    ),
    "root of the host, recycled": (
        volume(csi=None, hostPath={"path": "//"}, persistentVolumeReclaimPolicy="Recycle"),
        ["spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'"],
    ),
    "attributes class": (
        volume(csi=None, hostPath={"path": "/x"}, volumeAttributesClassName=""),
        [
            "spec.volumeAttributesClassName: Required value: an empty string is disallowed",
            "spec.csi: Required value: has to be specified when using volumeAttributesClassName",
        ],
    ),
}


@pytest.mark.parametrize(("obj", "expected"), VOLUMES.values(), ids=VOLUMES)
def test_volumes(obj: Object, expected: list[str]) -> None:
    assert faults("PersistentVolume", obj) == expected


def near(key: str) -> Object:
    expression = {"key": key, "operator": "In", "values": ["a"]}
    return {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}


OLD_ZONE, ZONE = "failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"


def test_changed_volumes() -> None:
    secret = {"name": "s", "namespace": "n"}
    later = volume(csi={"driver": "a.b", "volumeHandle": "h", "controllerExpandSecretRef": secret})
    assert changed("PersistentVolume", later, volume()) == []
    moved = changed("PersistentVolume", volume(csi={"driver": "a.b", "volumeHandle": "x"}), volume())
    assert moved == [
        "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation\n"
        '@@ -22,7 +22,7 @@\n  "StorageOS": null,\n  "CSI": {\n   "Driver": "a.b",\n-  "VolumeHandle": "h",\n'
        '+  "VolumeHandle": "x",\n   "ReadOnly": false,\n   "FSType": "",\n   "VolumeAttributes": null,\n'
    ]
    old = volume(nodeAffinity=near(OLD_ZONE), volumeMode="Block", volumeAttributesClassName="a")
    assert changed("PersistentVolume", {"spec": {**old["spec"], "nodeAffinity": near(ZONE)}}, old) == []
    found = changed("PersistentVolume", volume(nodeAffinity=near("x"), volumeMode="Filesystem"), old)
    assert [text.partition(": ")[0] for text in found] == [
        "volumeMode",
        "nodeAffinity",
        "spec.volumeAttributesClassName",
    ]
    assert found[1].endswith("field is immutable, except for updating from beta label to GA")


def claim(size: str = "1Gi", phase: str = "Pending", held: str = "", **spec: Any) -> Object:
    status: Object = {"phase": phase, "capacity": {"storage": held} if held else {}}
    requests = {"requests": {"storage": size}}
    return {
        "metadata": {},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": requests, **spec},
        "status": status,
    }


def given(body: Object) -> Object:
    """Return a claim whose volume has got what the claim asks for."""
    return {**body, "status": {**body["status"], "currentVolumeAttributesClassName": "a"}}


ATTRIBUTES = "spec.volumeAttributesClassName: Forbidden"
TAKEN = "is forbidden when status.currentVolumeAttributesClassName is not nil"
CLAIM, SNAPSHOT = {"kind": "PersistentVolumeClaim", "name": "c"}, {"kind": "VolumeSnapshot", "name": "s"}
CLAIMS: dict[str, tuple[Object, list[str]]] = {
    "modes": (
        claim(accessModes=["ReadWriteOncePod", "ReadWriteOnce", "X"]),
        [
            'spec.accessModes: Unsupported value: "X": supported values: "ReadOnlyMany", "ReadWriteMany", '
            '"ReadWriteOnce", "ReadWriteOncePod"',
            "spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes",
        ],
    ),
    "size": (claim("-1"), [f'spec.resources[storage]: Invalid value: "-1": {BAD_SIZE}']),
    "source of the core group": (
        claim(dataSource=SNAPSHOT),
        [
            "spec.dataSource: Invalid value: \"VolumeSnapshot\": must be 'PersistentVolumeClaim' when "
            "referencing the default apiGroup"
        ],
    ),
    "source without a name": (
        claim(dataSourceRef={"kind": "PersistentVolumeClaim"}),
        ["spec.dataSourceRef.name: Required value"],
    ),
    "sources differ": (
        claim(dataSource=CLAIM, dataSourceRef={**CLAIM, "name": "d"}),
        ['spec: Invalid value: "spec.dataSource": must match dataSourceRef'],
    ),
    "source of another namespace": (
        claim(dataSource=CLAIM, dataSourceRef={**CLAIM, "namespace": "n"}),
        [
            'spec: Invalid value: "spec.dataSource": may not be specified when dataSourceRef.namespace is '
            "specified"
        ],
    ),
}


@pytest.mark.parametrize(("obj", "expected"), CLAIMS.values(), ids=CLAIMS)
def test_claims(obj: Object, expected: list[str]) -> None:
    assert faults("PersistentVolumeClaim", obj) == expected


FIXED = (
    "spec: Forbidden: spec is immutable after creation except resources.requests and "
    "volumeAttributesClassName for bound claims\n"
)
SMALLER = "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"
CHANGED: dict[str, tuple[Object, Object, list[str]]] = {
    "bound claim grows": (claim("2Gi", "Bound", "1Gi"), claim("1Gi", "Bound", "1Gi"), []),
    "growth taken back": (claim("2Gi", "Bound", "1Gi"), claim("3Gi", "Bound", "1Gi"), []),
    "growth taken back to what it has": (
        claim("1Gi", "Bound", "1Gi"),
        claim("3Gi", "Bound", "1Gi"),
        [SMALLER],
    ),
    "pending claim grows": (
        claim("2Gi"),
        claim("1Gi"),
        [
            f'{FIXED}@@ -6,7 +6,7 @@\n  "Resources": {{\n   "Limits": null,\n   "Requests": {{\n-   "storage": "1Gi"\n'
            '+   "storage": "2Gi"\n   }\n  },\n  "VolumeName": "",\n'
        ],
    ),
    "bound once": (claim(volumeName="v"), claim(), []),
    "class of a claim without": (claim(storageClassName="a"), claim(), []),
    "class changed": (
        claim(storageClassName="a"),
        claim(storageClassName="b"),
        [
            f'{FIXED}@@ -10,7 +10,7 @@\n   }}\n  }},\n  "VolumeName": "",\n- "StorageClassName": "b",\n'
            '+ "StorageClassName": "a",\n  "VolumeMode": null,\n  "DataSource": null,\n  "DataSourceRef": null,\n'
        ],
    ),
    "group of a source changed": (
        claim(dataSourceRef={"apiGroup": "a_b", "kind": "K", "name": "n"}),
        claim(dataSourceRef={"apiGroup": "a.b", "kind": "K", "name": "n"}),
        [
            f'{FIXED}@@ -14,7 +14,7 @@\n  "VolumeMode": null,\n  "DataSource": null,\n  "DataSourceRef": {{\n'
            '-  "APIGroup": "a.b",\n+  "APIGroup": "a_b",\n   "Kind": "K",\n   "Name": "n",\n'
            '   "Namespace": null\n'
        ],
    ),
    "group of a source not shown before": (
        claim(dataSource={"apiGroup": None, "kind": "PersistentVolumeClaim", "name": "c"}),
        claim(dataSource={"kind": "PersistentVolumeClaim", "name": "c"}),
        [],
    ),
    "attributes changed": (
        claim("1Gi", "Bound", volumeAttributesClassName="b"),
        claim("1Gi", "Bound", volumeAttributesClassName="a"),
        [],
    ),
    "attributes dropped before they were given": (
        claim("1Gi", "Bound"),
        claim("1Gi", "Bound", volumeAttributesClassName="a"),
        [],
    ),
    "attributes dropped": (
        claim("1Gi", "Bound"),
        given(claim("1Gi", "Bound", volumeAttributesClassName="a")),
        [f"{ATTRIBUTES}: update to nil {TAKEN}"],
    ),
    "attributes emptied": (
        claim("1Gi", "Bound", volumeAttributesClassName=""),
        given(claim("1Gi", "Bound", volumeAttributesClassName="a")),
        [f"{ATTRIBUTES}: update to empty string {TAKEN}"],
    ),
}


def test_rules_of_new_ones_are_told_twice_of_changed_ones() -> None:
    wrong = claim("1Gi", accessModes=[])
    assert (
        changed("PersistentVolumeClaim", wrong, wrong)
        == ["spec.accessModes: Required value: at least 1 access mode is required"] * 2
    )
    volume = {"spec": {"capacity": {"storage": "1Gi"}, "hostPath": {"path": "/a"}}}
    assert changed("PersistentVolume", volume, volume) == ["spec.accessModes: Required value"] * 2


@pytest.mark.parametrize(("new", "old", "expected"), CHANGED.values(), ids=CHANGED)
def test_changed_claims(new: Object, old: Object, expected: list[str]) -> None:
    before = copy_object(old)
    assert changed("PersistentVolumeClaim", new, old) == expected
    assert old == before


def test_claim_status() -> None:
    new = claim()
    new["status"] = {
        "capacity": {"storage": "-1"},
        "allocatedResourceStatuses": {"storage": "x"},
        "allocatedResources": {"cpu": "1"},
    }
    assert status_faults("PersistentVolumeClaim", new, claim()) == [
        "status.capacity[storage]: Invalid value: -1: must be a valid resource quantity",
        'status.allocatedResourceStatuses: Unsupported value: "storage": supported values: '
        '"ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress", '
        '"NodeResizeInfeasible", "NodeResizePending"',
        'status.allocatedResources: Unsupported value: "cpu": supported values: "storage"',
    ]


WIDGET = {"apiGroup": "example.com", "kind": "Widget", "name": "w"}
OTHER = {**WIDGET, "name": "other"}
CLAIM = {"kind": "PersistentVolumeClaim", "name": "c"}
SHOWN = {"apiGroup": None, **CLAIM}
FILLED: dict[str, tuple[Object, Object, Object]] = {
    "a claim": ({}, {"dataSource": CLAIM}, {"dataSource": SHOWN, "dataSourceRef": SHOWN}),
    "anything": ({}, {"dataSource": WIDGET}, {}),
    "anything, by reference": (
        {},
        {"dataSourceRef": WIDGET},
        {"dataSource": WIDGET, "dataSourceRef": WIDGET},
    ),
    "both ways": (
        {},
        {"dataSource": WIDGET, "dataSourceRef": OTHER},
        {"dataSource": WIDGET, "dataSourceRef": OTHER},
    ),
    "as before": (
        {"dataSource": WIDGET, "dataSourceRef": WIDGET},
        {"dataSource": WIDGET},
        {"dataSource": WIDGET, "dataSourceRef": WIDGET},
    ),
    "by reference before": (
        {"dataSourceRef": WIDGET},
        {"dataSource": WIDGET},
        {"dataSource": WIDGET, "dataSourceRef": WIDGET},
    ),
    "nothing before": ({"accessModes": ["ReadWriteOnce"]}, {"dataSource": WIDGET}, {}),
}


@pytest.mark.parametrize(("before", "given", "kept"), FILLED.values(), ids=FILLED)
def test_what_a_claim_is_filled_with(
    kept_of_new: Callable[[Object], Object],
    kept_of_change: Callable[[Object, Object], Object],
    before: Object,
    given: Object,
    kept: Object,
) -> None:
    kind = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
    new = {**kind, "spec": given}
    found = kept_of_change({**kind, "spec": before}, new) if before else kept_of_new(new)
    assert {key: value for key, value in found["spec"].items() if key.startswith("dataSource")} == kept
