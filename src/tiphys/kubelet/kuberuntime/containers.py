"""The configuration of one container. Pure.

Source: CRI's ContainerConfig.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

import orjson

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.kubelet import runtime
from tiphys.kubelet.cm.devices import Extras
from tiphys.kubelet.cm.qos import oom_score_adj
from tiphys.kubelet.cm.resources import linux_resources, with_pod_limits
from tiphys.kubelet.kuberuntime.env import expand
from tiphys.kubelet.kuberuntime.sandbox import NodeSettings, pod_labels
from tiphys.kubelet.kuberuntime.security import container_security
from tiphys.kubelet.runtime import Config, Image

DEFAULT_TERMINATION_PATH = "/dev/termination-log"


@dataclass(frozen=True, slots=True)
class ContainerInputs:
    """What the shell found out for one start of one container."""

    attempt: int
    image: Image
    env: Mapping[str, str] = field(default_factory=dict)
    mounts: Sequence[Config] = ()
    extras: Extras = field(default_factory=Extras)
    """What comes with its devices."""
    life: str = ""
    """Which of its pod's lives it belongs to, where there may be several."""
    target_id: str = ""
    """Container whose process namespace an ephemeral container joins."""


def container_hash(container: dict[str, Any]) -> str:
    """Return what changes when a running container must be replaced: its name and image."""
    text = orjson.dumps([container["name"], container.get("image", "")])
    return hashlib.sha256(text).hexdigest()[:8]


def container_annotations(pod: Object, container: dict[str, Any], attempt: int) -> dict[str, str]:
    """Return what a restarted kubelet must know of a container it finds."""
    grace = pod["metadata"].get("deletionGracePeriodSeconds")
    if grace is None:
        grace = pod["spec"].get("terminationGracePeriodSeconds", 30)
    return {
        runtime.CONTAINER_HASH: container_hash(container),
        runtime.RESTART_COUNT: str(attempt),
        runtime.TERMINATION_PATH: container.get("terminationMessagePath") or DEFAULT_TERMINATION_PATH,
        runtime.TERMINATION_POLICY: container.get("terminationMessagePolicy") or "File",
        runtime.GRACE_PERIOD: str(grace),
        runtime.CONTAINER_RESOURCES: orjson.dumps(with_pod_limits(pod, container)).decode(),
    }


def log_path(name: str, attempt: int) -> str:
    """Return the log's place inside the pod's log directory."""
    return f"{name}/{attempt}.log"


def container_config(
    pod: Object, container: dict[str, Any], given: ContainerInputs, node: NodeSettings
) -> Config:
    """Return ``ContainerConfig``."""
    resources: Config = dict(linux_resources(with_pod_limits(pod, container)))
    resources["oom_score_adj"] = oom_score_adj(pod, container, node.node_memory_bytes)
    env = {**given.extras.env, **given.env}
    # For command and arguments unknown names stay as written, as in variables.
    return {
        "metadata": {"name": container["name"], "attempt": given.attempt},
        "image": {"image": given.image.id, "user_specified_image": container.get("image", "")},
        "command": [expand(word, given.env) for word in container.get("command") or ()],
        "args": [expand(word, given.env) for word in container.get("args") or ()],
        "working_dir": container.get("workingDir") or "",
        "envs": [{"key": key, "value": value.encode()} for key, value in env.items()],
        "mounts": [*given.mounts, *given.extras.mounts],
        "devices": list(given.extras.devices),
        "CDI_devices": [{"name": name} for name in given.extras.cdi],
        "labels": {runtime.CONTAINER_NAME: container["name"], **pod_labels(pod)},
        "annotations": {
            **given.extras.annotations,
            **container_annotations(pod, container, given.attempt),
            **({runtime.LIFE: given.life} if given.life else {}),
        },
        "log_path": log_path(container["name"], given.attempt),
        "stdin": bool(container.get("stdin")),
        "stdin_once": bool(container.get("stdinOnce")),
        "tty": bool(container.get("tty")),
        "linux": {
            "resources": resources,
            "security_context": container_security(
                pod, container, given.image, node.seccomp_root, given.target_id
            ),
        },
    }
