"""Servers whose operator allows less than others: privileged containers."""

from typing import Any

import pytest

from tiphys.apimachinery.featuregates import resolve

PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


def container(*, privileged: bool | None, name: str = "c") -> dict[str, Any]:
    security = {} if privileged is None else {"securityContext": {"privileged": privileged}}
    return {"name": name, "image": "i", **security}


def deployment(spec: dict[str, Any]) -> dict[str, Any]:
    labels = {"app": "a"}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }  # fmt: skip


async def test_who_may_be_privileged(serving: Any, make_pod: Any) -> None:
    said = "securityContext.privileged: Forbidden: disallowed by cluster policy"
    async with serving(allow_privileged=False) as api:
        for name, privileged in (("quiet", None), ("plain", False)):
            await api.create(PODS, make_pod(name, containers=[container(privileged=privileged)]))
        answer = await api("POST", PODS, make_pod("all", containers=[container(privileged=True)]))
        assert answer.status == 422
        assert answer.json["message"] == f'Pod "all" is invalid: spec.containers[0].{said}'
        first = make_pod("first", initContainers=[container(privileged=True, name="init")])
        answer = await api("POST", PODS, first)
        assert answer.json["details"]["causes"][0]["field"] == (
            "spec.initContainers[0].securityContext.privileged"
        )
        answer = await api("POST", DEPLOYMENTS, deployment({"containers": [container(privileged=True)]}))
        assert (answer.status, f"spec.template.spec.containers[0].{said}" in answer.json["message"]) == (
            422, True,
        )  # fmt: skip


@pytest.mark.parametrize("gates", [{}, {"HPAScaleToZero": True}])
async def test_privileged_unless_told_otherwise(serving: Any, make_pod: Any, gates: dict[str, bool]) -> None:
    """The other rules of a server do not make it stricter."""
    more = {"feature_gates": resolve(gates)} if gates else {}
    async with serving(**more) as api:
        await api.create(PODS, make_pod("all", containers=[container(privileged=True)]))
