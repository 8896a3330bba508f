"""The kubectl on the machine against a cluster: every kind, and the verbs people use."""

# ruff: noqa: E501

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

KUBECTL = shutil.which("kubectl") or ""
pytestmark = [pytest.mark.slow, pytest.mark.kubectl]
SHOWN = ("wide", "yaml", "name", "jsonpath={.metadata.name}")
REPLACE_REFUSED = {"Pod", "Job"}
"""What the server fills in on creation cannot be left out later."""
KINDS = [
    f"{one['apiVersion']} {one['kind']}"
    for one in yaml.load_all((Path(__file__).parent / "manifests.yaml").read_text(), yaml.CSafeLoader)
]
STEPS = """
create deployment web --image=nginx:1 --replicas=2
rollout status deployment/web --timeout=30s
set image deployment/web nginx=nginx:2
set env deployment/web A=b
set resources deployment/web --limits=cpu=100m
rollout status deployment/web --timeout=30s
rollout history deployment/web
rollout undo deployment/web
rollout restart deployment/web
rollout pause deployment/web
rollout resume deployment/web
scale deployment/web --replicas=3 --current-replicas=2
autoscale deployment/web --max=3
expose deployment/web --port=80
create job j --image=busybox -- true
create cronjob cj --image=busybox --schedule="0 0 * * *" -- true
create job j2 --from=cronjob/cj
create quota q --hard=pods=100
create role r --verb=get --resource=pods
create rolebinding rb --role=r --user=jane
create secret generic s --from-literal=a=b
create secret docker-registry d --docker-username=a --docker-password=b
create configmap c --from-literal=a=b
create serviceaccount robot
create token robot
create ingress i --rule="a.com/*=web:80"
create poddisruptionbudget p --selector=app=none --min-available=1
auth can-i --list
auth can-i get pods
taint node node-3 a=b:NoSchedule
taint node node-3 a-
cordon node-3
drain node-3 --ignore-daemonsets --force --timeout=30s
uncordon node-3
wait --for=condition=Available deployment/web --timeout=30s
wait --for=jsonpath={.spec.replicas}=3 deployment/web --timeout=30s
get events
get pods --chunk-size=1
get pods -l app=web --field-selector=status.phase=Running -o name
get all
get pods -A
describe nodes
describe pods
describe deployment web
describe service web
describe quota
describe hpa
edit configmap c
run one --image=busybox --restart=Never
wait --for=condition=Ready pod/one --timeout=30s
delete pod one --timeout=30s
patch deployment web --subresource=scale --type=merge -p {"spec":{"replicas":1}}
get deployment web --subresource=status
cluster-info
version
api-versions
api-resources
explain pods --recursive
explain deployment.spec.strategy
get --raw /
get --raw /apis
get --raw /openapi/v2
get --raw /openapi/v3
get --raw /readyz?verbose
get --raw /metrics
delete all --all --wait=false
"""
REFUSED = {
    "get foos": 'error: the server doesn\'t have a resource type "foos"',
    "get pod none": 'Error from server (NotFound): pods "none" not found',
    "get pods -l a==b==c": "found '==', expected: ',' or 'end of string'",
    "get pods --field-selector=spec.foo=1": "field label not supported: spec.foo",
    "create deployment Web --image=a": 'Invalid value: "Web"',
    "scale deployment/none --replicas=1": 'deployments.apps "none" not found',
    "auth can-i create pods --as jane": "no",
    "get pods --as jane": 'Error from server (Forbidden): pods is forbidden: User "jane" cannot list resource "pods"',
    "delete namespace default": 'namespaces "default" is forbidden: this namespace may not be deleted',
}


@pytest.fixture
def kubectl(api: Any, namespace: str, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        known = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "EDITOR": "sed -i s/a:\\ b/a:\\ z/"}
        command = [KUBECTL, "--kubeconfig", api.kubeconfig, "--namespace", namespace, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=90, env=known, check=False)

    return run


def done(answer: subprocess.CompletedProcess[str]) -> str:
    assert answer.returncode == 0, f"{answer.args}\n{answer.stdout[-500:]}{answer.stderr[-1500:]}"
    return answer.stdout


def test_a_day_of_work(kubectl: Any) -> None:
    for line in STEPS.strip().splitlines():
        words = line.split(" ") if '"spec"' in line else shlex.split(line)
        shown = done(kubectl(*words))
        if line == "edit configmap c":
            assert shown == "configmap/c edited\n"
    assert done(kubectl("get", "configmap", "c", "-o", "jsonpath={.data.a}")) == "z"


@pytest.mark.parametrize("kind", ["daemonset", "statefulset"])
def test_rollouts(kubectl: Any, manifests: Any, tmp_path: Path, namespace: str, kind: str) -> None:
    file = tmp_path / "one.yaml"
    file.write_text(yaml.safe_dump(next(one for one in manifests(namespace) if one["kind"].lower() == kind)))
    done(kubectl("apply", "-f", str(file)))
    for step in ("status", "restart", "status", "history", "undo", "status"):
        done(kubectl("rollout", step, f"{kind}/sweep", *(["--timeout=30s"] if step == "status" else [])))


@pytest.mark.parametrize(("line", "text"), REFUSED.items(), ids=REFUSED)
def test_refusals(kubectl: Any, line: str, text: str) -> None:
    answer = kubectl(*line.split(" "))
    assert answer.returncode == 1
    assert text in answer.stdout + answer.stderr


@pytest.mark.parametrize("key", KINDS)
def test_every_kind(kubectl: Any, manifests: Any, tmp_path: Path, namespace: str, key: str) -> None:
    manifest = next(one for one in manifests(namespace) if f"{one['apiVersion']} {one['kind']}" == key)
    file = tmp_path / "one.yaml"
    file.write_text(yaml.safe_dump(manifest))
    at = ["-f", str(file)]
    done(kubectl("create", *at))
    for form in SHOWN:
        done(kubectl("get", *at, "-o", form))
    done(kubectl("describe", *at))
    done(kubectl("label", *at, "a=b"))
    done(kubectl("apply", *at))
    done(kubectl("apply", *at))
    done(kubectl("diff", *at))
    done(kubectl("apply", "--server-side", "--force-conflicts", *at))
    assert (kubectl("replace", *at).returncode == 1) is (manifest["kind"] in REPLACE_REFUSED)
    done(kubectl("delete", *at, "--timeout=30s"))


def test_explain_every_kind(kubectl: Any) -> None:
    for line in done(kubectl("api-resources", "--no-headers", "-o", "wide")).splitlines():
        words = line.split()
        version = next(word for word in words if word == "v1" or "/v" in word)
        shown = done(kubectl("explain", words[0], f"--api-version={version}"))
        assert f"VERSION:    {version.rpartition('/')[2]}" in shown
