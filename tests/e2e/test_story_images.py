"""Where images come from: a registry, with and without a password, and what is said when they do not."""

from __future__ import annotations

from pathlib import Path

import pytest
from cluster import RunningCluster, eventually
from images import BUSYBOX, DATA
from manifests import container, pod
from registry import PASSWORD, USER, push, registry

pytestmark = pytest.mark.e2e

_WAITING = ".status.containerStatuses[0].state.waiting"


def _with(image: str, policy: str, **spec: object) -> dict[str, object]:
    return pod("box", {**container(), "image": image, "imagePullPolicy": policy}, nodeName="node-2", **spec)


def test_pull_policies(cluster: RunningCluster, tmp_path: Path) -> None:
    with registry(cluster, tmp_path, secured=False) as address:
        image = f"{address}/box:1"
        push(cluster, BUSYBOX, image)
        cluster.apply(_with(image, "Never"))
        eventually(lambda: cluster.path("pod/box", f"{_WAITING}.reason") == "ErrImageNeverPull")
        expected = f'Container image "{image}" is not present with pull policy of Never'
        assert cluster.path("pod/box", f"{_WAITING}.message") == expected
        cluster.kubectl("delete", "pod", "box")
        cluster.apply(_with(image, "IfNotPresent"))
        cluster.ready("box")
        events = cluster.kubectl("get", "events")
        assert f'Pulling image "{image}"' in events
        assert f'Successfully pulled image "{image}" in' in events
        assert address in cluster.path("pod/box", ".status.containerStatuses[0].imageID")
        cluster.kubectl("delete", "pod", "box")
    # The registry is gone: what is there still runs, what must be pulled does not.
    cluster.apply(_with(image, "IfNotPresent"))
    cluster.ready("box")
    assert "already present on machine" in cluster.kubectl("get", "events")
    cluster.kubectl("delete", "pod", "box")
    cluster.apply(_with(image, "Always"))
    eventually(lambda: cluster.path("pod/box", f"{_WAITING}.reason") in ("ErrImagePull", "ImagePullBackOff"))
    assert "connection refused" in cluster.kubectl("get", "events")


def test_an_image_that_is_nowhere(cluster: RunningCluster, tmp_path: Path) -> None:
    with registry(cluster, tmp_path, secured=False) as address:
        cluster.apply(_with(f"{address}/none:1", "IfNotPresent"))
        eventually(lambda: "not found" in cluster.path("pod/box", f"{_WAITING}.message"))
        eventually(lambda: cluster.path("pod/box", f"{_WAITING}.reason") == "ImagePullBackOff")
        message = cluster.path("pod/box", f"{_WAITING}.message")
        assert message.startswith(f'Back-off pulling image "{address}/none:1"')
        events = cluster.kubectl("get", "events")
        assert f'Failed to pull image "{address}/none:1"' in events
        assert "Error: ErrImagePull" in events
    cluster.apply(pod("typo", {**container(), "image": "Not An Image"}))
    eventually(lambda: cluster.path("pod/typo", f"{_WAITING}.reason") == "InvalidImageName")


def test_a_pull_secret(cluster: RunningCluster, tmp_path: Path) -> None:
    with registry(cluster, tmp_path, secured=True) as address:
        image = f"{address}/private:1"
        push(cluster, BUSYBOX, image)
        cluster.apply(_with(image, "Always"))
        eventually(lambda: cluster.path("pod/box", f"{_WAITING}.reason") == "ImagePullBackOff")
        assert "401 Unauthorized" in cluster.kubectl("get", "events")
        cluster.kubectl("delete", "pod", "box")
        flags = [f"--docker-server={address}", f"--docker-username={USER}", f"--docker-password={PASSWORD}"]
        cluster.kubectl("create", "secret", "docker-registry", "door", *flags)
        cluster.apply(_with(image, "Always", imagePullSecrets=[{"name": "door"}]))
        cluster.ready("box")


def test_an_imported_image_by_its_digest(cluster: RunningCluster) -> None:
    """By the name that its node lists: a pod's imageID may be another one, of a registry it was pushed to."""
    names = cluster.path("node/node-1", ".status.images[*].names[*]").split()
    (exact,) = [name for name in names if name.startswith(f"{BUSYBOX.partition(':')[0]}@sha256:")]
    cluster.apply(pod("exact", {**container(), "image": exact}, nodeName="node-1"))
    cluster.ready("exact")
    digest = exact.partition("@")[2]
    assert cluster.path("pod/exact", ".status.containerStatuses[0].imageID").endswith(f"@{digest}")
    cluster.kubectl("delete", "pod", "exact")


def test_an_image_as_a_volume(cluster: RunningCluster, tmp_path: Path) -> None:
    """Pulled from a registry each time, as asked for, whole and in part; nothing of it can be changed."""
    with registry(cluster, tmp_path, secured=False) as address:
        image = f"{address}/data:1"
        push(cluster, DATA, image)
        volume = {"name": "v", "image": {"reference": image, "pullPolicy": "Always"}}
        mounts = [
            {"name": "v", "mountPath": "/volume"},
            {"name": "v", "mountPath": "/part", "subPath": "etc"},
        ]
        reader = container(volumeMounts=mounts)
        cluster.apply(pod("reader", reader, volumes=[volume], nodeName="node-2"))
        cluster.ready("reader")
        assert "kitten" in cluster.sh("reader", "cat /volume/data.json")
        assert cluster.sh("reader", "cat /volume/etc/os-release /part/os-release") == "NAME=data\nNAME=data\n"
        assert (
            "Read-only file system" in cluster.try_kubectl("exec", "reader", "--", "touch", "/volume/x").err
        )
        assert f'Successfully pulled image "{image}" in' in cluster.kubectl("get", "events")
        cluster.kubectl("delete", "pod", "reader")
