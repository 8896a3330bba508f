"""How PodSecurity judged, as it is counted and noted for audits."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tiphys.apis.podsecurity.policy import LATEST, Standard
from tiphys.apiserver.admission.pod_security_counts import version_of

Serving = Callable[..., AbstractAsyncContextManager[Any]]
PREFIX = "pod-security.kubernetes.io/"
TEAM = "/api/v1/namespaces/team"


async def counted(api: Any, family: str) -> dict[str, float]:
    """Return what is not zero: the labels' values, in the order of the text."""
    text = (await api("GET", "/metrics")).raw.decode()
    found = {}
    for line in text.splitlines():
        name, _, value = line.rpartition(" ")
        if name.startswith(f"pod_security_{family}_total") and float(value):
            found[",".join(re.findall(r'"(.*?)"', name))] = float(value)
    return found


async def namespace(api: Any, **labels: str) -> None:
    named = {PREFIX + key.replace("_", "-"): value for key, value in labels.items()}
    await api.create("/api/v1/namespaces", {"metadata": {"name": "team", "labels": named}})
    await api.create(f"{TEAM}/serviceaccounts", {"metadata": {"name": "default"}})


def pod(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "a:1"}], **spec}}


def deployment(**spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod("x", **spec)["spec"]}
    return {
        "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
    }


async def test_open_namespaces(api: Any) -> None:
    await namespace(api)
    for name in ("a", "b", "c", "d"):  # from the third on they are cast
        await api.create(f"{TEAM}/pods", pod(name))
    await api.create("/apis/apps/v1/namespaces/team/deployments", deployment())
    assert await counted(api, "evaluations") == {"allow,enforce,privileged,latest,create,pod,": 4}
    assert not await counted(api, "exemptions")
    assert not await counted(api, "errors")


async def test_each_mode(api: Any) -> None:
    await namespace(
        api, enforce="baseline", enforce_version="v1.30", warn="restricted", audit="restricted",
        audit_version="v1.99",
    )  # fmt: skip
    await api.create(f"{TEAM}/pods", pod("a"))
    assert (await api("POST", f"{TEAM}/pods", pod("b", hostPID=True))).status == 403
    await api.create("/apis/apps/v1/namespaces/team/deployments", deployment(hostPID=True))
    assert await counted(api, "evaluations") == {
        "allow,enforce,baseline,v1.30,create,pod,": 1,
        "deny,enforce,baseline,v1.30,create,pod,": 1,
        "deny,audit,restricted,future,create,pod,": 2,
        "deny,warn,restricted,latest,create,pod,": 1,
        "deny,audit,restricted,future,create,controller,": 1,
        "deny,warn,restricted,latest,create,controller,": 1,
    }


async def test_labels_that_mean_nothing(api: Any) -> None:
    await namespace(api)
    store, row = api.server.objects, api.server.table.by_path("", "v1", "namespaces")
    found = await store.get(row, "", "team")
    meta = {**found.object["metadata"], "labels": {PREFIX + "warn": "so"}}
    await store.update(row, {**found.object, "metadata": meta}, found.revision)
    await api.create(f"{TEAM}/pods", pod("a"))
    assert await counted(api, "errors") == {"false,create,pod,": 1}
    assert await counted(api, "evaluations") == {"allow,enforce,privileged,latest,create,pod,": 1}


async def test_who_is_exempt_is_so_of_an_open_policy_too(serving: Serving, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    settings = {
        "apiVersion": "pod-security.admission.config.k8s.io/v1",
        "kind": "PodSecurityConfiguration",
        "exemptions": {"namespaces": ["team"]},
    }
    head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration"}
    path.write_text(yaml.safe_dump({**head, "plugins": [{"name": "PodSecurity", "configuration": settings}]}))
    async with serving(admission_config=path) as api:
        await namespace(api)
        await api.create(f"{TEAM}/pods", pod("a"))
        await api.create("/apis/apps/v1/namespaces/team/deployments", deployment())
        assert await counted(api, "exemptions") == {"create,pod,": 1, "create,controller,": 1}
        assert not await counted(api, "evaluations")


@pytest.mark.parametrize(
    ("level", "minor", "version"),
    [("baseline", 30, "v1.30"), ("baseline", 36, "v1.36"), ("baseline", 37, "future"),
     ("baseline", LATEST, "latest"), ("privileged", 30, "latest")],
)  # fmt: skip
def test_versions(level: str, minor: int, version: str) -> None:
    assert version_of(Standard(level, minor)) == version
