"""An operator on kopf: every Ship gets a ConfigMap with its crew list. Nothing in it knows Tiphys."""

from __future__ import annotations

from typing import Any

import kopf
from kubernetes import client, config

GROUP, VERSION, PLURAL = "fleet.example.com", "v1", "ships"


@kopf.on.startup()
def connect(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.posting.enabled = True
    config.load_kube_config()


@kopf.on.create(GROUP, VERSION, PLURAL)
def launch(spec: Any, name: str, namespace: str, body: Any, **_: Any) -> dict[str, str]:
    crew = {"metadata": {"name": f"{name}-crew"}, "data": {"masts": str(spec["mast"])}}
    kopf.adopt(crew, owner=body)
    client.CoreV1Api().create_namespaced_config_map(namespace, crew)
    kopf.info(body, reason="Launched", message=f"{name} is afloat")
    return {"crew": f"{name}-crew"}


@kopf.on.update(GROUP, VERSION, PLURAL, field="spec.mast")
def refit(new: int, name: str, namespace: str, patch: Any, **_: Any) -> None:
    client.CoreV1Api().patch_namespaced_config_map(f"{name}-crew", namespace, {"data": {"masts": str(new)}})
    patch.status["masts"] = new


@kopf.on.delete(GROUP, VERSION, PLURAL)
def sink(name: str, namespace: str, **_: Any) -> None:
    client.CoreV1Api().create_namespaced_config_map(namespace, {"metadata": {"name": f"{name}-wreck"}})
