"""What may not be in volumes: every plugin's fields, for pods and for PersistentVolumes, and mounts of them."""

# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tiphys.apis.core.volume_sources import PERSISTENT_SOURCES, POD_SOURCES
from tiphys.apis.core.volume_validation import validate_mounts, validate_volumes

Body = dict[str, Any]

START = "must be valid format starting with iqn, eui, or naa"
HOSTS = "must be a host:port pair or multiple pairs separated by commas"
BYTE = "must be between 0 and 255, inclusive"
PARTITION = "must be between 1 and 255, inclusive"
IQN = "iqn.2026-01.io.k8s:storage"
BLOB = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
MANAGED = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"

BOTH: dict[str, tuple[str, Body, list[str]]] = {
    "gce": ("gcePersistentDisk", {"partition": 256}, ["persistentDisk.pdName: Required value", f"persistentDisk.partition: Invalid value: 256: {PARTITION}"]),
    "aws": ("awsElasticBlockStore", {}, ["awsElasticBlockStore.volumeID: Required value"]),
    "nfs": ("nfs", {}, ["nfs.server: Required value", "nfs.path: Required value", 'nfs.path: Invalid value: "": must be an absolute path']),
    "iscsi": ("iscsi", {"iqn": "iqn.x", "lun": 256}, ["iscsi.targetPortal: Required value", 'iscsi.iqn: Invalid value: "iqn.x": must be valid format', f"iscsi.lun: Invalid value: 256: {BYTE}"]),
    "iscsi form": ("iscsi", {"targetPortal": "t", "iqn": "iqn.x"}, ['iscsi.iqn: Invalid value: "iqn.x": must be valid format']),
    "iscsi chap": ("iscsi", {"targetPortal": "t", "iqn": IQN, "chapAuthSession": True}, ["iscsi.secretRef: Required value"]),
    "fc": ("fc", {}, ["fc.targetWWNs: Required value: must specify either targetWWNs or wwids, but not both"]),
    "fc twice": (
        "fc",
        {"targetWWNs": ["a"], "wwids": ["b"]},
        ['fc.targetWWNs: Invalid value: ["a"]: targetWWNs and wwids can not be specified simultaneously', "fc.lun: Required value: lun is required if targetWWNs is specified"],
    ),
    "quobyte": ("quobyte", {}, [f"quobyte.registry: Required value: {HOSTS}", "quobyte.volume: Required value"]),
    "quobyte hosts": ("quobyte", {"registry": "a:1,b", "volume": "v"}, [f'quobyte.registry: Invalid value: "a:1,b": {HOSTS}']),
    "flocker": ("flocker", {}, ["flocker: Required value: one of datasetName and datasetUUID is required"]),
    "flocker twice": (
        "flocker",
        {"datasetName": "a/b", "datasetUUID": "c"},
        ['flocker: Invalid value: "resource": datasetName and datasetUUID can not be specified simultaneously', "flocker.datasetName: Invalid value: \"a/b\": must not contain '/'"],
    ),
    "glusterfs": ("glusterfs", {}, ["glusterfs.endpoints: Required value", "glusterfs.path: Required value"]),
    "rbd": ("rbd", {}, ["rbd.monitors: Required value", "rbd.image: Required value"]),
    "cephfs": ("cephfs", {}, ["cephfs.monitors: Required value"]),
    "cinder": ("cinder", {}, ["cinder.volumeID: Required value"]),
    "flex": (
        "flexVolume",
        {"options": {"a.K8s.io/x": "y"}},
        ["flexVolume.driver: Required value", 'flexVolume.options[a.K8s.io/x]: Invalid value: "a.K8s.io/x": kubernetes.io and k8s.io namespaces are reserved'],
    ),
    "azure file": ("azureFile", {}, ["azureFile.secretName: Required value", "azureFile.shareName: Required value"]),
    "azure disk": (
        "azureDisk",
        {"diskName": "d", "diskURI": "x", "cachingMode": "X", "kind": "Shared"},
        ['azureDisk.cachingMode: Unsupported value: "X": supported values: "None", "ReadOnly", "ReadWrite"', f'azureDisk.diskURI: Unsupported value: "x": supported values: "{BLOB}"'],
    ),
    "azure disk, managed": ("azureDisk", {"diskName": "d", "diskURI": "x", "kind": "Managed"}, [f'azureDisk.diskURI: Unsupported value: "x": supported values: "{MANAGED}"']),
    "vsphere": ("vsphereVolume", {}, ["vsphereVolume.volumePath: Required value"]),
    "photon": ("photonPersistentDisk", {}, ["photonPersistentDisk.pdID: Required value"]),
    "portworx": ("portworxVolume", {}, ["portworxVolume.volumeID: Required value"]),
    "scale io": ("scaleIO", {}, ["scaleIO.gateway: Required value", "scaleIO.system: Required value", "scaleIO.volumeName: Required value"]),
    "storageos": ("storageos", {}, ["storageos.volumeName: Required value"]),
}  # fmt: skip


@pytest.mark.parametrize("sources", [POD_SOURCES, PERSISTENT_SOURCES], ids=["pod", "persistent"])
@pytest.mark.parametrize(("key", "source", "expected"), BOTH.values(), ids=BOTH)
def test_plugins(sources: dict[str, Any], key: str, source: Body, expected: list[str]) -> None:
    assert [str(fault) for fault in sources[key](source, key)] == expected


SECRET = "secretRef"
ONE: dict[str, tuple[dict[str, Any], str, Body, list[str]]] = {
    "cinder of a pod": (
        POD_SOURCES,
        "cinder",
        {"volumeID": "v", SECRET: {}},
        ["cinder.secretRef.name: Required value"],
    ),
    "cinder": (
        PERSISTENT_SOURCES,
        "cinder",
        {"volumeID": "v", SECRET: {}},
        ["cinder.secretRef.name: Required value", "cinder.secretRef.namespace: Required value"],
    ),
    "glusterfs": (
        PERSISTENT_SOURCES,
        "glusterfs",
        {"endpoints": "e", "path": "p", "endpointsNamespace": ""},
        [
            'glusterfs.endpointsNamespace: Invalid value: "": if the endpointnamespace is set, it must be a valid namespace name'
        ],
    ),
    "azure file": (
        PERSISTENT_SOURCES,
        "azureFile",
        {"secretName": "s", "shareName": "s", "secretNamespace": ""},
        ["azureFile.secretNamespace: Required value"],
    ),
    "initiator of a pod": (
        POD_SOURCES,
        "iscsi",
        {"targetPortal": "t", "iqn": "x", "initiatorName": "x"},
        [f'iscsi.iqn: Invalid value: "x": {START}', f'iscsi.initiatorname: Invalid value: "x": {START}'],
    ),
    "initiator": (
        PERSISTENT_SOURCES,
        "iscsi",
        {"targetPortal": "t", "iqn": "x", "initiatorName": "x"},
        [
            'iscsi.iqn: Invalid value: "x": must be valid format',
            'iscsi.initiatorname: Invalid value: "x": must be valid format',
        ],
    ),
    "git": (
        POD_SOURCES,
        "gitRepo",
        {"directory": "/.."},
        [
            "gitRepo.repository: Required value",
            'gitRepo.directory: Invalid value: "/..": must be a relative path',
            "gitRepo.directory: Invalid value: \"/..\": must not contain '..'",
        ],
    ),
    "image": (
        POD_SOURCES,
        "image",
        {"reference": "r", "pullPolicy": "X"},
        ['image.pullPolicy: Unsupported value: "X": supported values: "Always", "IfNotPresent", "Never"'],
    ),
    "csi": (
        POD_SOURCES,
        "csi",
        {"driver": "a.b", "nodePublishSecretRef": {}},
        ["csi.nodePublishSecretRef.name: Required value"],
    ),
}


@pytest.mark.parametrize(("sources", "key", "source", "expected"), ONE.values(), ids=ONE)
def test_where_pods_and_volumes_differ(
    sources: dict[str, Any], key: str, source: Body, expected: list[str]
) -> None:
    assert [str(fault) for fault in sources[key](source, key)] == expected


def volumes(**volume: Any) -> list[str]:
    found, _ = validate_volumes({"volumes": [{"name": "v", **volume}]}, "volumes")
    return [str(fault) for fault in found]


def projected(*sources: Body) -> list[str]:
    return volumes(projected={"sources": list(sources)})


V = "volumes[0]"
P = f"{V}.projected"
ITEM = {"key": "k", "path": "p"}


def test_one_source_a_volume() -> None:
    again = "may not specify more than 1 volume type"
    assert volumes(emptyDir={}, downwardAPI={}, cephfs={}) == [
        f"{V}.cephFS: Forbidden: {again}",
        f"{V}.downwarAPI: Forbidden: {again}",
    ]
    assert projected({"secret": {"name": "s"}, "configMap": {"name": "c"}}) == [
        f"{P}.sources[0]: Forbidden: {again} per source"
    ]


def test_projections() -> None:
    assert projected(
        {"secret": {"name": "s", "items": [ITEM]}}, {"configMap": {"name": "c", "items": [ITEM]}}
    ) == [f'{P}: Invalid value: "c": conflicting duplicate paths']
    assert projected({"serviceAccountToken": {"expirationSeconds": 5}}) == [
        f"{P}.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes",
        f"{P}.path: Required value",
    ]
    at = f"{P}.sources[0].clusterTrustBundle"
    assert projected({"clusterTrustBundle": {"path": "p"}}) == [
        f"{at}: Required value: either name or signerName must be specified"
    ]
    assert projected({"clusterTrustBundle": {"name": "a.b:c:d", "labelSelector": {}}}) == [
        f"{at}.labelSelector: Invalid value: {{}}: labelSelector must be unset if name is specified",
        f"{at}.path: Required value",
    ]


def mounts(*mounts: Body, devices: tuple[Body, ...] = ()) -> list[str]:
    known = {
        "v": {"name": "v", "emptyDir": {}},
        "c": {"name": "c", "persistentVolumeClaim": {"claimName": "p"}},
    }
    container = {"volumeMounts": list(mounts), "volumeDevices": list(devices)}
    return [str(fault) for fault in validate_mounts(container, known, "c")]


M = "c.volumeMounts[0]"
D = "c.volumeDevices[0]"
MOUNT = {"name": "v", "mountPath": "/x"}


@pytest.mark.parametrize(
    ("mount", "expected"),
    [
        ({}, [f"{M}.name: Required value", f'{M}.name: Not found: ""', f"{M}.mountPath: Required value"]),
        (
            {**MOUNT, "recursiveReadOnly": "X"},
            [
                'c.volumeMounts.recursiveReadOnly: Unsupported value: "X": supported values: "Disabled", "Enabled", "IfPossible"'
            ],
        ),
        (
            {**MOUNT, "recursiveReadOnly": "Enabled", "mountPropagation": "HostToContainer"},
            [
                "c.volumeMounts.recursiveReadOnly: Forbidden: may only be specified when readOnly is true",
                "c.volumeMounts.recursiveReadOnly: Forbidden: may only be specified when mountPropagation is None or not specified",
            ],
        ),
    ],
)
def test_mounts(mount: Body, expected: list[str]) -> None:
    assert mounts(mount) == expected


def test_a_volume_is_mounted_or_a_device() -> None:
    found = mounts({"name": "c", "mountPath": "/x"}, devices=({"name": "c", "devicePath": "/x"},))
    assert found == [
        f'{M}.name: Invalid value: "c": must not already exist in volumeDevices',
        f'{M}.mountPath: Invalid value: "/x": must not already exist as a path in volumeDevices',
        f'{D}.name: Invalid value: "c": must not already exist in volumeMounts',
        f'{D}.devicePath: Invalid value: "/x": must not already exist as a path in volumeMounts',
    ]


def persistent(**spec: Any) -> Body:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "x"},
        "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, **spec},
    }


def test_what_a_persistent_volume_has(faults_of_new: Callable[[Body], list[str]]) -> None:
    assert faults_of_new(persistent(accessModes=[], capacity=None, nfs={"server": "s", "path": "/"})) == [
        "spec.accessModes: Required value",
        "spec.capacity: Required value",
        'spec.capacity: Unsupported value: null: supported values: "storage"',
    ]
    long = {"targetPortal": "t" * 63, "iqn": IQN, "initiatorName": IQN}
    assert faults_of_new(persistent(iscsi=long)) == [
        f'spec.iscsi.targetportal: Invalid value: "{"t" * 63}": Total length of <volume name>:<iscsi.targetPortal> must be under 64 '
        "characters if iscsi.initiatorName is specified."
    ]
