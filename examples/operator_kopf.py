"""The operator of ``operator_own.py`` on kopf: every Ship has a ConfigMap with its orders, and a status.

kopf run --standalone --all-namespaces operator_kopf.py
"""

from __future__ import annotations

from typing import Any

import kopf
from kubernetes import client, config


@kopf.on.startup()
def connect(**_: Any) -> None:
    config.load_kube_config()


@kopf.on.create("example.com", "v1", "ships")
@kopf.on.update("example.com", "v1", "ships", field="spec")
def give_orders(spec: Any, name: str, namespace: str, body: Any, patch: Any, **_: Any) -> None:
    crew = spec["oars"] * 2
    orders = {"metadata": {"name": f"{name}-orders"}, "data": {"crew": str(crew)}}
    kopf.adopt(orders, owner=body)
    maps = client.CoreV1Api()
    try:
        maps.create_namespaced_config_map(namespace, orders)
    except client.ApiException as error:
        if error.status != 409:
            raise
        maps.patch_namespaced_config_map(f"{name}-orders", namespace, {"data": orders["data"]})
    patch.status["crew"] = crew
