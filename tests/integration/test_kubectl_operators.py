"""kubectl and definitions shaped like those of operators: both ways to apply, explain, get, diff."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

KUBECTL = shutil.which("kubectl") or ""
pytestmark = [pytest.mark.slow, pytest.mark.kubectl]
DEFINITIONS = Path(__file__).parents[1] / "apiserver/crd/operators.yaml"
CERTIFICATE: dict[str, Any] = {
    "apiVersion": "certs.example.com/v1",
    "kind": "Certificate",
    "metadata": {"name": "a"},
    "spec": {"secretName": "s", "issuerRef": {"name": "i"}, "privateKey": {}, "dnsNames": ["x", "y"]},
}
MONITOR: dict[str, Any] = {
    "apiVersion": "monitoring.example.com/v1",
    "kind": "Prometheus",
    "metadata": {"name": "a"},
    "spec": {
        "replicas": 2,
        "resources": {"limits": {"cpu": 1, "memory": "1Gi"}},
        "containers": [{"name": "a", "ports": [{"containerPort": 80}]}],
    },
}


@pytest.fixture
def run(api: Any, namespace: str) -> Iterator[Any]:
    def kubectl(*words: str, stdin: Any = None, code: int = 0) -> str:
        args = [KUBECTL, "--kubeconfig", api.kubeconfig, "-n", namespace, *words]
        text = json.dumps(stdin) if stdin is not None else None
        done = subprocess.run(args, input=text, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    kubectl("apply", "-f", str(DEFINITIONS))
    kubectl("wait", "--for=condition=Established", "-f", str(DEFINITIONS), "--timeout=20s")
    yield kubectl
    kubectl("delete", "-f", str(DEFINITIONS), "--wait")


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_the_definitions_are_applied_again(run: Any) -> None:
    again = run("apply", "-f", str(DEFINITIONS))
    assert {line.split()[-1] for line in again.splitlines()} == {"unchanged"}
    assert run("diff", "-f", str(DEFINITIONS)) == ""
    run("apply", "--server-side", "--force-conflicts", "-f", str(DEFINITIONS))
    assert run("diff", "--server-side", "--force-conflicts", "-f", str(DEFINITIONS)) == ""


def test_a_certificate(run: Any) -> None:
    run("apply", "-f", "-", stdin=CERTIFICATE)
    assert "unchanged" in run("apply", "-f", "-", stdin=CERTIFICATE)
    changed = {
        **CERTIFICATE,
        "spec": {"secretName": "t", "issuerRef": {"name": "i", "kind": "Root"}, "dnsNames": ["z"]},
    }
    shown = run("diff", "-f", "-", stdin=changed, code=1)
    assert "-  secretName: s" in shown
    assert "+  secretName: t" in shown
    run("apply", "-f", "-", stdin=changed)
    spec = json.loads(run("get", "cert", "a", "-o", "json"))["spec"]
    assert spec == changed["spec"]  # what was left out is taken away again, and its default with it
    run("patch", "cert", "a", "--subresource=status", "--type=merge", "-p",
        '{"status":{"conditions":[{"type":"Ready","status":"True"}]}}')  # fmt: skip
    run("wait", "--for=condition=Ready", "cert/a", "--timeout=20s")
    assert lines(run("get", "certs"))[1][:3] == ["a", "True", "t"]
    assert lines(run("get", "cert-things", "-o", "wide"))[1][:4] == ["a", "True", "t", "i"]
    assert lines(run("get", "certificates", "--field-selector", "spec.issuerRef.name=i"))[1][0] == "a"
    assert "No resources found" in run("get", "certificates", "--field-selector", "spec.issuerRef.name=j")
    assert "Ready" in run("describe", "certificate", "a")
    refused = run(
        "apply", "-f", "-", stdin={**CERTIFICATE, "spec": {**CERTIFICATE["spec"], "usages": ["x"]}}, code=1
    )
    assert 'spec.usages[0]: Unsupported value: "x": supported values: "signing", "server auth"' in refused
    unknown = run(
        "apply", "-f", "-", stdin={**CERTIFICATE, "spec": {**CERTIFICATE["spec"], "use": 1}}, code=1
    )
    assert 'unknown field "spec.use"' in unknown


def test_it_is_explained(run: Any) -> None:
    shown = run("explain", "certificate.spec.privateKey")
    for text in ("GROUP:      certs.example.com", "rotationPolicy", "enum: Never, Always", "algorithm"):
        assert text in shown
    assert "What is wanted of the certificate." in run("explain", "certificates.spec")
    assert "<integer>" in run("explain", "prom.spec.containers.ports.containerPort")
    assert "-required-" in run("explain", "composition.spec.pipeline")
    recursive = run("explain", "virtualservices.spec", "--recursive", "--api-version=net.example.com/v1beta1")
    for text in ("workloadSelector", "labels\t<map[string]string>", "destination", "number\t<integer>"):
        assert text in recursive


def test_a_monitor(run: Any) -> None:
    run("apply", "--server-side", "--field-manager=one", "-f", "-", stdin=MONITOR)
    other = {**MONITOR, "spec": {"replicas": 3}}
    refused = run("apply", "--server-side", "--field-manager=two", "-f", "-", stdin=other, code=1)
    assert 'conflict with "one": .spec.replicas' in refused
    run("scale", "prom/a", "--replicas=5")
    assert lines(run("get", "prometheuses"))[1][:2] == ["a", "5"]
    run("autoscale", "prom/a", "--min=1", "--max=4")
    run("wait", "--for=jsonpath={.spec.replicas}=4", "prom/a", "--timeout=60s")
    run("delete", "hpa", "a")
    run("label", "prom", "a", "x=y")
    run("annotate", "prom", "a", "x=y")
    assert run("get", "prom", "-l", "x=y", "-o", "name") == "prometheus.monitoring.example.com/a\n"
    assert run("get", "prom", "a", "-o", "jsonpath={.spec.containers[0].ports[0].protocol}") == "TCP"
    run("delete", "prom", "a", "--wait")


def test_one_of_three_versions(run: Any) -> None:
    route = {
        "apiVersion": "net.example.com/v1alpha3",
        "kind": "VirtualService",
        "metadata": {"name": "a"},
        "spec": {"hosts": ["a", "b"], "http": [{"match": [{"uri": {"prefix": "/"}}], "timeout": "5s"}]},
    }
    run("apply", "-f", "-", stdin=route)
    assert json.loads(run("get", "vs", "a", "-o", "json"))["apiVersion"] == "net.example.com/v1"
    older = run("get", "virtualservices.v1beta1.net.example.com", "a", "-o", "json")
    assert json.loads(older)["apiVersion"] == "net.example.com/v1beta1"
    newer = {**route, "apiVersion": "net.example.com/v1"}
    assert "configured" in run("apply", "-f", "-", stdin=newer)  # it is noted which version was applied last
    assert "unchanged" in run("apply", "-f", "-", stdin=newer)
    assert lines(run("get", "mesh"))[1][:2] == ["a", '["a","b"]']
    wrong = {**route, "spec": {"hosts": ["a"], "workloadSelector": {"labels": {"a": "*"}}}}
    refused = run("apply", "-f", "-", stdin=wrong, code=1)
    assert "only one of hosts or workloadSelector can be set" in refused
    assert "wildcard is not supported in selector" in refused


def test_one_that_is_called_like_a_built_in_kind(run: Any) -> None:
    service = {
        "apiVersion": "serving.example.com/v1",
        "kind": "Service",
        "metadata": {"name": "a"},
        "spec": {"template": {"spec": {"containers": [{"image": "i"}]}}},
    }
    run("apply", "-f", "-", stdin=service)
    assert "No resources found" in run("get", "services")
    assert lines(run("get", "ksvc"))[1] == ["a"]
    assert "service.serving.example.com/a" in run("get", "all")


def test_a_workflow_of_any_form(run: Any) -> None:
    flow = {
        "apiVersion": "rollouts.example.com/v1alpha1",
        "kind": "Workflow",
        "metadata": {"generateName": "a-"},
        "spec": {"steps": [[{"name": "x", "n": None}]]},
    }
    name = run("create", "-f", "-", "-o", "name", stdin=flow).strip().partition("/")[2]
    flow["metadata"] = {"name": name}
    run("apply", "-f", "-", stdin={**flow, "spec": {"steps": [[{"name": "y"}]], "more": {"a": 1}}})
    spec = json.loads(run("get", "wf", name, "-o", "json"))["spec"]
    assert spec == {"steps": [[{"name": "y"}]], "more": {"a": 1}}
    assert "error" in run("explain", "wf.spec.steps", code=1)
