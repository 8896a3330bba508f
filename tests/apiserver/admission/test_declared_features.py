"""Bound pods change only in ways that their node says it can follow."""
# ruff: noqa: E501

from __future__ import annotations

from typing import Any

import pytest

BASE = "/api/v1/namespaces/default/pods"
POD_RESIZE = "InPlacePodLevelResourcesVerticalScaling"


def amounts(cpu: str, memory: str = "10Mi") -> dict[str, Any]:
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"cpu": cpu, "memory": memory}}


def pod(of_container: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "p"},
        "spec": {
            "nodeName": "n",
            "containers": [{"name": "c", "image": "a:1", "resources": of_container}],
            **spec,
        },
    }


def loose(cpu: str) -> dict[str, Any]:
    return {"requests": {"cpu": cpu}}


Case = tuple[list[str], dict[str, Any], dict[str, Any], list[str]]
CASES: dict[str, Case] = {
    # what the node declares, the pod before and after, what is lacking
    "containers of a pod with promises": ([], pod(amounts("1")), pod(amounts("2", "20Mi")), []),
    "processors of a pod without": ([], pod(loose("1")), pod(loose("2")), []),
    "the pod's own resources": (
        [], pod({}, resources=loose("1")), pod({}, resources=loose("2")), [POD_RESIZE],
    ),
    "those on a node that can": ([POD_RESIZE], pod({}, resources=loose("1")), pod({}, resources=loose("2")), []),
}  # fmt: skip


@pytest.mark.parametrize(("declared", "before", "after", "lacking"), CASES.values(), ids=CASES)
async def test_resizes(
    api: Any, declared: list[str], before: dict[str, Any], after: dict[str, Any], lacking: list[str]
) -> None:
    room = {"cpu": "8", "memory": "1Gi"}
    node = {"metadata": {"name": "n", "labels": {"kubernetes.io/os": "linux"}}}
    await api.create("/api/v1/nodes", {**node, "status": {"allocatable": room, "declaredFeatures": declared}})
    made = await api.create(BASE, before)
    changed = {**made, "spec": {**made["spec"]}}
    for key in ("containers", "resources"):
        if key in after["spec"]:
            changed["spec"][key] = after["spec"][key]
    changed["spec"]["containers"] = [
        {**old, "resources": new.get("resources", {})}
        for old, new in zip(made["spec"]["containers"], after["spec"]["containers"], strict=True)
    ]
    answer = await api("PUT", f"{BASE}/p/resize", changed)
    if lacking:
        assert answer.message == (
            f'pods "p" is forbidden: pod update requires features {", ".join(lacking)} which are not '
            'available on node "n"'
        )
    else:
        assert answer.status == 200, answer.raw


async def test_a_node_that_is_not_there(api: Any) -> None:
    made = await api.create(BASE, pod({}, resources=loose("1")))
    made["spec"]["resources"] = loose("2")
    answer = await api("PUT", f"{BASE}/p/resize", made)
    assert answer.message == 'pods "p" is forbidden: node "n" not found'
