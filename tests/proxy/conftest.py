"""Builders of Services and EndpointSlices for the proxy's tests."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))


def make_service(name: str = "web", **spec: Any) -> dict[str, Any]:
    """A ClusterIP service on port 80/TCP; ``spec`` overrides, ``ingress`` are load balancer addresses."""
    ingress = spec.pop("ingress", ())
    labels = spec.pop("labels", {})
    whole = {
        "type": "ClusterIP",
        "clusterIP": "10.64.0.20",
        "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
        **spec,
    }
    return {
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "spec": whole,
        "status": {"loadBalancer": {"ingress": list(ingress)}},
    }


def make_slice(*endpoints: Any, service: str = "web", port: int = 8080, **fields: Any) -> dict[str, Any]:
    """Endpoints are ``"address"``, ``"address@node"`` or whole dicts."""
    items = []
    for item in endpoints:
        if isinstance(item, str):
            address, _, node = item.partition("@")
            item = {"addresses": [address], "conditions": {"ready": True}, "nodeName": node or "n2"}
        items.append(item)
    return {
        "metadata": {
            "name": fields.pop("name", f"{service}-abc"),
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": service, **fields.pop("labels", {})},
        },
        "addressType": fields.pop("family", "IPv4"),
        "endpoints": items,
        "ports": [{"name": "http", "port": port, "protocol": "TCP", **fields}],
    }


@pytest.fixture
def service() -> Any:
    return make_service


@pytest.fixture
def endpoint_slice() -> Any:
    return make_slice
