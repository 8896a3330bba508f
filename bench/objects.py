"""The objects that benchmarks create: pods of about 4 kB once stored, small ConfigMaps, nodes."""

from __future__ import annotations

import json
from typing import Any

NAMESPACE = "bench"
POD_BYTES = 4000
"""About what a running pod weighs as JSON: 500 of them are 2 MB."""


def pod(index: int, *, padded: bool = True, prefix: str = "pod") -> dict[str, Any]:
    """Return a Pod as a Deployment's would look; ``padded`` with what its status would weigh."""
    container = {
        "name": "main",
        "image": "registry.example/app:1",
        "ports": [{"containerPort": 8080, "name": "http"}],
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
        "resources": {"requests": {"cpu": "100m", "memory": "100Mi"}},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}},
    }
    labels = {"app": f"app-{index % 50}", "pod-template-hash": "5d4f8c7b9"}
    meta: dict[str, Any] = {"name": f"{prefix}-{index}", "namespace": NAMESPACE, "labels": labels}
    if padded:
        meta["annotations"] = {"bench/status": "x" * (POD_BYTES - 2550)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container]}}


def config_map(index: int, prefix: str = "map") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{prefix}-{index}", "namespace": NAMESPACE},
        "data": {"key": "value " * 20},
    }


def node(index: int) -> dict[str, Any]:
    """Return a Ready node of 32 CPUs in one of five zones."""
    name = f"node-{index}"
    amounts = {"cpu": "32", "memory": "128Gi", "pods": "110", "ephemeral-storage": "100Gi"}
    labels = {
        "kubernetes.io/hostname": name,
        "topology.kubernetes.io/zone": f"zone-{index % 5}",
        "kubernetes.io/os": "linux",
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {
            "allocatable": amounts,
            "capacity": amounts,
            "conditions": [{"type": "Ready", "status": "True", "reason": "Bench", "message": ""}],
        },
    }


def body(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
