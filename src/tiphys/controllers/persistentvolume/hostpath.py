"""Volumes that are folders of this machine: how they look, and the folders themselves.

Made only where ``--enable-hostpath-provisioner`` is given, for classes of its provisioner. Where all nodes
share one machine's files any of them can use any volume. A folder bears its volume's name below one root:
nothing else is removed. Pure but for the last two.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from tiphys.apimachinery.meta import Object

PLUGIN: Final = "kubernetes.io/host-path"
BOUND_BY_CONTROLLER: Final = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY: Final = "pv.kubernetes.io/provisioned-by"
DISABLED: Final = "Failed to create provisioner: provisioning in hostpath plugin is disabled"


def fault_of(claim: Object, storage_class: Object) -> str:
    """Return why no folder can serve a claim; empty where one can."""
    named = f'StorageClass "{storage_class["metadata"]["name"]}"'
    if storage_class.get("mountOptions"):
        options = " ".join(storage_class["mountOptions"])
        return f"Mount options are not supported by the provisioner but {named} has mount options [{options}]"
    if claim["spec"].get("volumeMode") == "Block":
        fault = f"{PLUGIN} does not support block volume provisioning"
        return f"Failed to provision volume with {named}: {fault}"
    return ""


def volume_for(claim: Object, storage_class: Object, root: str) -> Object:
    """Return the volume to make for a claim, bound to it already."""
    meta, spec = claim["metadata"], claim["spec"]
    name = f"pvc-{meta['uid']}"
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": name,
            "annotations": {
                "kubernetes.io/createdby": "hostpath-dynamic-provisioner",
                BOUND_BY_CONTROLLER: "yes",
                PROVISIONED_BY: PLUGIN,
            },
        },
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec.get("accessModes") or ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy") or "Delete",
            "storageClassName": storage_class["metadata"]["name"],
            "volumeMode": "Filesystem",
            "hostPath": {"path": f"{root}/{name}", "type": ""},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": meta["namespace"],
                "name": meta["name"],
                "uid": meta["uid"],
                "resourceVersion": meta.get("resourceVersion", ""),
            },
        },
    }


def is_own(volume: Object, root: str) -> bool:
    """Whether a volume's folder was made here, and so may be removed."""
    meta = volume["metadata"]
    path = (volume["spec"].get("hostPath") or {}).get("path")
    made = (meta.get("annotations") or {}).get(PROVISIONED_BY) == PLUGIN
    return bool(root) and made and path == f"{root}/{meta['name']}"


def make_folder(volume: Object) -> None:
    """Anybody may write there, as pods run as many users. Blocks; raises OSError."""
    folder = Path(volume["spec"]["hostPath"]["path"])
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o777)


def remove_folder(volume: Object) -> None:
    """Blocks; raises OSError."""
    folder = Path(volume["spec"]["hostPath"]["path"])
    if folder.exists():
        shutil.rmtree(folder)
