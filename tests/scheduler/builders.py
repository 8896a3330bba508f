"""Nodes and pods in few words, for the scheduler's tests."""

from __future__ import annotations

import itertools
from typing import Any

from tiphys.scheduler.columns import Columns
from tiphys.scheduler.podinfo import PodInfo, pod_info

_uids = itertools.count(1)


def node(name: str, *, cpu: str = "4", memory: str = "8Gi", pods: str = "110", **more: Any) -> dict[str, Any]:
    """Return a node with these ``labels``, ``taints``, ``images``, ``extended`` resources ... of its own."""
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **more.get("labels", {})}},
        "spec": {"taints": more.get("taints", []), "unschedulable": more.get("unschedulable", False)},
        "status": {
            "allocatable": {"cpu": cpu, "memory": memory, "pods": pods, **more.get("extended", {})},
            "images": more.get("images", []),
            "declaredFeatures": more.get("declared", []),
        },
    }


def pod(
    name: str = "p", *, cpu: str = "", memory: str = "", labels: dict[str, str] | None = None, **spec: Any
) -> dict[str, Any]:
    """Return a pod with one container; further keywords go into the spec."""
    requests = {key: value for key, value in (("cpu", cpu), ("memory", memory)) if value}
    container = {"name": "c", "image": spec.pop("image", "web:1"), "resources": {"requests": requests}}
    container["ports"] = [{"containerPort": 80, "hostPort": port} for port in spec.pop("host_ports", [])]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name, "namespace": "default", "uid": f"uid-{next(_uids)}", "labels": labels or {},
        },
        "spec": {"containers": [container], "schedulerName": "default-scheduler", **spec},
    }  # fmt: skip


def info(*args: Any, **kwargs: Any) -> PodInfo:
    return pod_info(pod(*args, **kwargs))


def columns(*nodes: dict[str, Any]) -> Columns:
    made = Columns()
    for one in nodes:
        made.set_node(one)
    return made


def anti(app: str, key: str = "kubernetes.io/hostname") -> dict[str, Any]:
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term(app, key)]}}


def near(app: str, key: str = "kubernetes.io/hostname") -> dict[str, Any]:
    return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term(app, key)]}}


def term(app: str, key: str) -> dict[str, Any]:
    return {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key}
