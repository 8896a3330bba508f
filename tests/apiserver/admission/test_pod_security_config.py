"""PodSecurity by configuration: a policy for all namespaces, and who is exempt from it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import yaml

Serving = Callable[..., AbstractAsyncContextManager[Any]]
BASE = "/api/v1/namespaces"
SETTINGS = {
    "apiVersion": "pod-security.admission.config.k8s.io/v1",
    "kind": "PodSecurityConfiguration",
    "defaults": {"enforce": "baseline", "enforce-version": "v1.30"},
    "exemptions": {"namespaces": ["kube-system"], "usernames": ["alice"], "runtimeClasses": ["vm"]},
}


def configured(tmp_path: Path) -> Path:
    path = tmp_path / "a.yaml"
    plugins = [{"name": "PodSecurity", "configuration": SETTINGS}]
    head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration"}
    path.write_text(yaml.safe_dump({**head, "plugins": plugins}))
    return path


def pod(**spec: Any) -> dict[str, Any]:
    containers = [{"name": "c", "image": "a:1"}]
    return {"metadata": {"name": "p"}, "spec": {"containers": containers, "hostNetwork": True, **spec}}


CASES: dict[str, tuple[str, str, dict[str, Any], str]] = {
    # namespace, user, what the pod says besides -> how it is exempt
    "by the defaults": ("default", "admin", {}, "no"),
    "in an exempt namespace": ("kube-system", "admin", {}, "namespace"),
    "of an exempt user": ("default", "alice", {}, "user"),
    "of an exempt runtime": ("default", "admin", {"runtimeClassName": "vm"}, "runtimeClass"),
}


@pytest.mark.parametrize(("namespace", "user", "spec", "exempt"), CASES.values(), ids=CASES)
async def test_pods(
    serving: Serving, tmp_path: Path, namespace: str, user: str, spec: dict[str, Any], exempt: str
) -> None:
    off = ("ServiceAccount", "RuntimeClass")
    async with serving(
        admission_config=configured(tmp_path), disabled_admission=off, authorization_modes=("AlwaysAllow",)
    ) as api:
        answer = await api("POST", f"{BASE}/{namespace}/pods", pod(**spec), user=user)
        if exempt == "no":
            assert answer.message == (
                'pods "p" is forbidden: violates PodSecurity "baseline:v1.30": host namespaces '
                "(hostNetwork=true)"
            )
        else:
            assert answer.status == 201, answer.raw


async def test_labels_go_before_defaults(serving: Serving, tmp_path: Path) -> None:
    async with serving(admission_config=configured(tmp_path), disabled_admission=("ServiceAccount",)) as api:
        labels = {"pod-security.kubernetes.io/enforce": "privileged"}
        await api.create(BASE, {"metadata": {"name": "open", "labels": labels}})
        await api.create(f"{BASE}/open/pods", pod())


async def test_the_policy_of_an_exempt_namespace_is_ignored_and_that_is_told(
    serving: Serving, tmp_path: Path
) -> None:
    async with serving(admission_config=configured(tmp_path)) as api:
        prefix = "pod-security.kubernetes.io/"
        told = []
        for labels in ({"warn": "restricted"}, {"enforce": "restricted"}, {"enforce": "baseline"}, {}):
            named = {prefix + key: labels.get(key) for key in ("enforce", "warn")}
            answer = await api.patch(f"{BASE}/kube-system", {"metadata": {"labels": named}})
            assert answer.status == 200
            told.append(answer.headers.get("warning", ""))
        # Only a rising level is looked at, and only what labels say is shown.
        assert [bool(text) for text in told] == [False, True, False, False]
        assert (
            'namespace \\"kube-system\\" is exempt from Pod Security, and the policy '
            "(enforce=restricted:v1.30) will be ignored"
        ) in told[1]
