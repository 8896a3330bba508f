"""Manifests for the stories: short where they may be, whole where they must."""

from __future__ import annotations

from typing import Any

from images import BUSYBOX

Object = dict[str, Any]
IDLE = "trap 'exit 0' TERM; sleep 1000 & wait"
"""A shell that ends at once when asked to."""


def container(script: str = IDLE, **more: Any) -> Object:
    return {"name": "main", "image": BUSYBOX, "command": ["sh", "-c", script], **more}


def pod(name: str, *containers: Object, **spec: Any) -> Object:
    """Return a Pod labelled ``app=<name>``, of one idle container unless others are given."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": list(containers or [container()]), **spec},
    }


def deployment(name: str, replicas: int, *containers: Object, **spec: Any) -> Object:
    template = pod(name, *containers, **spec)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": template["spec"]},
        },
    }


def service(name: str, **spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80}], **spec},
    }


def web_container() -> Object:
    return {"name": "web", "image": "tiphys.test/web:1", "ports": [{"containerPort": 80}]}
