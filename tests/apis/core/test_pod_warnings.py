"""What clients are warned about."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apis.core.pod_warnings import pod_warnings, service_warnings, template_warnings


def pod(name: str = "p", **container: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", **container}]}}


CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "nothing": (pod(), []),
    "same variable": (
        pod(env=[{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]),
        [
            'spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using '
            "apply"
        ],
    ),
    "variable extends itself": (pod(env=[{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)2"}]), []),
    "same port": (
        pod(ports=[{"containerPort": 1}, {"containerPort": 1, "protocol": "TCP"}]),
        ["spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]"],
    ),
    "dots": (
        pod("a.b"),
        [
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a "
            "DNS "
            "label is recommended: [must not contain dots]"
        ],
    ),
}


@pytest.mark.parametrize(("obj", "expected"), CASES.values(), ids=CASES)
def test_pods(obj: dict[str, Any], expected: list[str]) -> None:
    assert pod_warnings(obj, None) == expected


def test_names_matter_only_at_first() -> None:
    assert pod_warnings(pod("a.b"), pod("a.b")) == []


def test_templates() -> None:
    spec = {"containers": [], "nodeSelector": {"beta.kubernetes.io/os": "linux"}}
    text = 'nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead'
    deployment = {"spec": {"template": {"spec": spec}}}
    assert template_warnings(deployment, None) == [f"spec.template.spec.{text}"]
    cron = {"spec": {"jobTemplate": {"spec": {"template": {"spec": spec}}}}}
    assert template_warnings(cron, None) == [f"spec.jobTemplate.spec.template.spec.{text}"]


def test_services() -> None:
    headless = {"spec": {"clusterIP": "None", "sessionAffinity": "ClientIP"}}
    assert service_warnings(headless, None) == ["spec.SessionAffinity is ignored for headless services"]
    assert service_warnings({"spec": {}}, None) == []
