"""``tiphys why`` over a real API: what it reads is enough, and what it may not read it names."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tiphys.apimachinery.clock import RealClock
from tiphys.apimachinery.errors import Forbidden
from tiphys.apimachinery.meta import Object, get_condition
from tiphys.client.kinds import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    INGRESSES,
    NAMESPACES,
    NODES,
    PODS,
    RESOURCE_QUOTAS,
    SERVICES,
)
from tiphys.cmd.main import cli
from tiphys.ctl.why.explain import kind_named
from tiphys.ctl.why.lookup import look_up
from tiphys.ctl.why.read import read
from tiphys.ctl.why.scene import Finding
from tiphys.testing import Cluster


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster(nodes=1, listen=True) as made:
        await made.wait_for(CONFIG_MAPS, "kube-root-ca.crt", "default")  # every pod mounts it
        yield made


async def ask(cluster: Cluster, kind: str, name: str) -> list[Finding]:
    found = kind_named(kind) or await look_up(cluster.client, kind)
    obj, scene = await read(cluster.client, found, name, "default", RealClock())
    return found.explain({"kind": found.names[0], **obj}, scene)


def pod(name: str, **spec: Any) -> Object:
    spec = {"containers": [{"name": "c", "image": "i"}], **spec}
    return {"metadata": {"name": name, "namespace": "default", "labels": {"app": name}}, "spec": spec}


def deployment(name: str) -> Object:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


def refused(obj: Object | None) -> bool:
    return bool(obj and (get_condition(obj, "PodScheduled") or {}).get("status") == "False")


def invoke(cluster: Cluster, *args: str) -> Result:
    return CliRunner().invoke(cli, ["why", "--kubeconfig", str(cluster.kubeconfig), *args])


async def test_a_story(cluster: Cluster) -> None:
    await cluster.client.patch(NODES, "node-1", "", {"spec": {"unschedulable": True}})
    await cluster.client.create(PODS, pod("lost", nodeSelector={"disk": "ssd"}))
    await cluster.wait_for(PODS, "lost", "default", refused)
    (finding,) = await ask(cluster, "pod", "lost")
    assert finding.cause.startswith("No node fits (")
    assert ("node-1", "cordoned (spec.unschedulable); label disk is absent, wanted ssd", "") in finding.table

    spec = {"selector": {"app": "lost"}, "ports": [{"port": 80}]}
    await cluster.client.create(
        SERVICES, {"metadata": {"name": "lost", "namespace": "default"}, "spec": spec}
    )
    first, second = await ask(cluster, "svc", "lost")
    assert first.cause == "None of its pods is ready."
    assert second.cause.startswith("Pod lost: No node fits (")

    quota = {"metadata": {"name": "small", "namespace": "default"}, "spec": {"hard": {"pods": "1"}}}
    await cluster.client.create(RESOURCE_QUOTAS, quota)
    await cluster.wait_for(
        RESOURCE_QUOTAS, "small", "default", lambda obj: bool(obj and (obj.get("status") or {}).get("used"))
    )
    await cluster.client.create(DEPLOYMENTS, deployment("many"))
    await cluster.wait_for(
        DEPLOYMENTS, "many", "default", lambda obj: bool(obj and get_condition(obj, "ReplicaFailure"))
    )
    (finding,) = await ask(cluster, "deploy", "many")
    assert finding.cause.startswith("Its pods would exceed a quota: ")

    said = await asyncio.to_thread(invoke, cluster, "pod/lost")
    assert said.exit_code == 0
    assert said.stdout.startswith("pod default/lost: Pending, made ")
    said = await asyncio.to_thread(invoke, cluster, "node", "node-1", "-o", "json")
    assert json.loads(said.stdout)["findings"][0]["cause"] == "It is cordoned: no new pods are placed here."
    said = await asyncio.to_thread(invoke, cluster, "pod/none")
    assert (said.exit_code, said.stdout) == (1, "")
    assert said.stderr.endswith('Error: pods "none" not found\n')


async def test_what_may_not_be_read_is_named(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = {"name": "s", "secret": {"secretName": "s"}}
    await cluster.client.create(PODS, pod("p", volumes=[secret], schedulingGates=[{"name": "a.b/c"}]))
    allowed = cluster.client.get

    async def get(gvr: Any, *args: Any, **options: Any) -> Object:
        if gvr.resource == "secrets":
            raise Forbidden("secrets is forbidden")
        return await allowed(gvr, *args, **options)

    monkeypatch.setattr(cluster.client, "get", get)
    pods = kind_named("pod")
    assert pods is not None
    _, scene = await read(cluster.client, pods, "p", "default", RealClock())
    assert scene.unread == ("secrets s (secrets is forbidden)",)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["pod"], "say what to explain as KIND/NAME"),
        (["pod/x", "--kubeconfig", "/nowhere"], "kubeconfig /nowhere: No such file or directory"),
        (["pod/x"], "no kubeconfig: name one with --kubeconfig"),
    ],
)
def test_bad_input(args: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TIPHYS_HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    result = CliRunner().invoke(cli, ["why", *args])
    assert result.exit_code == 1
    assert said in result.output


async def test_an_ingress_to_nothing(cluster: Cluster) -> None:
    backend = {"service": {"name": "no", "port": {"number": 80}}}
    spec = {"ingressClassName": "none", "defaultBackend": backend, "tls": [{"secretName": "cert"}]}
    await cluster.client.create(
        INGRESSES, {"metadata": {"name": "web", "namespace": "default"}, "spec": spec}
    )
    assert [one.cause for one in await ask(cluster, "ing", "web")] == [
        "The class none does not exist: no controller takes it.",
        "It leads to the Service no, which does not exist.",
        "Its certificate is to be in the Secret cert, which does not exist.",
    ]


async def test_kinds_without_an_explanation_of_their_own(cluster: Cluster) -> None:
    held = {"metadata": {"name": "held", "namespace": "old", "finalizers": ["example.com/x"]}}
    await cluster.client.create(NAMESPACES, {"metadata": {"name": "old"}})
    await cluster.client.create(CONFIG_MAPS, held)
    await cluster.client.delete(NAMESPACES, "old")
    await cluster.wait_for(
        NAMESPACES, "old", "", lambda obj: bool(obj and get_condition(obj, "NamespaceFinalizersRemaining"))
    )
    (finding,) = await ask(cluster, "ns", "old")
    assert finding.table == (("OBJECT", "FINALIZERS"), ("configmaps/held", "example.com/x"))
    said = await asyncio.to_thread(invoke, cluster, "cm/held", "-n", "old")
    assert said.stdout.startswith("configmap old/held: being deleted, made ")
    assert "example.com/x (set by the controller of example.com)" in said.stdout
    said = await asyncio.to_thread(invoke, cluster, "clusterroles.rbac.authorization.k8s.io/admin")
    assert said.stdout.endswith("Nothing is wrong with it, as far as the API tells.\n")
    said = await asyncio.to_thread(invoke, cluster, "gateway/x")
    assert "cannot explain 'gateway': it can be one of pod, deployment," in said.stderr
