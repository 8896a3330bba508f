"""Our components need no rights but those that upstream's API server gives, and ask only what it serves.

The roles that this server starts with are upstream's, so every refusal here would be one there.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography import x509

from tiphys.apimachinery.clock import RealClock
from tiphys.apis.table import TABLE
from tiphys.apiserver.server import ApiServer
from tiphys.client.inprocess import InProcessTransport
from tiphys.client.kinds import (
    CLUSTER_ROLE_BINDINGS,
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    ENDPOINTS,
    HORIZONTAL_POD_AUTOSCALERS,
    JOBS,
    LEASES,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICATION_CONTROLLERS,
    RESOURCE_QUOTAS,
    SECRETS,
    SELF_SUBJECT_ACCESS_REVIEWS,
    SERVICES,
    STATEFUL_SETS,
)
from tiphys.client.rest import Client
from tiphys.kubelet.certificate.client import Credentials, Rotation
from tiphys.kubelet.kubelet import Kubelet
from tiphys.kubelet.options import KubeletOptions
from tiphys.proxy.proxy import Proxy, ProxyOptions
from tiphys.testing import Cluster
from tiphys.wire import pki
from tiphys.wire.message import Request, Response

sys.path.insert(0, str(Path(__file__).parents[1] / "kubelet"))
from fake_cri import FakeRuntime
from fake_node import NoCgroups

JOINING = "system:bootstrappers:kubeadm:default-node-token"
LABELS = {"a": "b"}
SELECTOR = {"matchLabels": LABELS}
POD = {"containers": [{"name": "c", "image": "img:1", "ports": [{"containerPort": 80}]}]}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": POD}
ONCE = {
    "metadata": {"annotations": {"tiphys.dev/exit-code": "0"}},
    "spec": {"restartPolicy": "Never", "containers": POD["containers"]},
}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


def made(version: str, kind: str, name: str, **body: Any) -> dict[str, Any]:
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": name, "namespace": "default", "labels": LABELS},
        **body,
    }


SCALED = {
    "maxReplicas": 3,
    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
    "metrics": [
        {
            "type": "Resource",
            "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
        }
    ],
}
OWNED = {"metadata": {"name": "t", "namespace": "default", "annotations": {
    "kubernetes.io/service-account.name": "default"}}}  # fmt: skip
EPHEMERAL = {"volumes": [{"name": "e", "ephemeral": {"volumeClaimTemplate": {"spec": CLAIM}}}]}
VOLUME = {
    "apiVersion": "v1",
    "kind": "PersistentVolume",
    "metadata": {"name": "pv"},
    "spec": {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": "/tmp/x"},
    },
}
OBJECTS = (
    (DEPLOYMENTS, made("apps/v1", "Deployment", "d", spec={
        "replicas": 2, "selector": SELECTOR, "template": TEMPLATE})),
    (STATEFUL_SETS, made("apps/v1", "StatefulSet", "s", spec={
        "replicas": 2, "serviceName": "s", "selector": SELECTOR, "template": TEMPLATE,
        "volumeClaimTemplates": [{"metadata": {"name": "v"}, "spec": CLAIM}]})),
    (DAEMON_SETS, made("apps/v1", "DaemonSet", "ds", spec={"selector": SELECTOR, "template": TEMPLATE})),
    (REPLICATION_CONTROLLERS, made("v1", "ReplicationController", "rc", spec={
        "replicas": 1, "selector": LABELS, "template": TEMPLATE})),
    (JOBS, made("batch/v1", "Job", "j", spec={"template": ONCE, "ttlSecondsAfterFinished": 0})),
    (CRON_JOBS, made("batch/v1", "CronJob", "cj", spec={
        "schedule": "* * * * *", "jobTemplate": {"spec": {"template": ONCE}}})),
    (SERVICES, made("v1", "Service", "svc", spec={"selector": LABELS, "ports": [{"port": 80}]})),
    (SERVICES, made("v1", "Service", "hand", spec={"ports": [{"port": 80}]})),
    (ENDPOINTS, made("v1", "Endpoints", "hand", subsets=[
        {"addresses": [{"ip": "10.1.2.3"}], "ports": [{"port": 80}]}])),
    (POD_DISRUPTION_BUDGETS, made("policy/v1", "PodDisruptionBudget", "p", spec={
        "minAvailable": 1, "selector": SELECTOR})),
    (HORIZONTAL_POD_AUTOSCALERS, made("autoscaling/v2", "HorizontalPodAutoscaler", "h", spec=SCALED)),
    (RESOURCE_QUOTAS, made("v1", "ResourceQuota", "q", spec={"hard": {"configmaps": "100"}})),
    (PERSISTENT_VOLUME_CLAIMS, made("v1", "PersistentVolumeClaim", "pvc", spec=CLAIM)),
    (SECRETS, {**made("v1", "Secret", "t", type="kubernetes.io/service-account-token"), **OWNED}),
    (PODS, made("v1", "Pod", "eph", spec={**POD, **EPHEMERAL})),
    (PODS, made("v1", "Pod", "large", spec={"containers": [
        {"name": "c", "image": "i", "resources": {"requests": {"cpu": "1000"}}}]})),
)  # fmt: skip


class Recorder:
    """Stands before an API server and keeps what was refused for want of rights, or is served by nobody."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self.faults: list[str] = []
        self.asked: set[tuple[str, str]] = set()

    async def __call__(self, request: Request) -> Response:
        answer = await self._server(request)
        self.asked.add((request.method, request.path))
        body = answer.body if isinstance(answer.body, bytes) else b"".join(answer.body)
        if answer.status in (401, 405, 406, 415) or (answer.status == 403 and _no_right(body)):
            self.faults.append(f"{request.method} {request.path}: {answer.status} {body.decode()[:300]}")
        if answer.status == 404 and b"could not find the requested resource" in body:
            self.faults.append(f"{request.method} {request.path}: nothing serves it")
        return answer


def _no_right(body: bytes) -> bool:
    """A quota refuses with 403 too: that is no want of rights."""
    return " cannot " in orjson.loads(body)["message"]


def strange(asked: Iterable[tuple[str, str]]) -> list[str]:
    """Return the paths that are of no resource of the published table, nor known of themselves.

    ``metrics.k8s.io`` is an add-on there.
    """
    plain = re.compile(
        r"/(api|apis|openapi/.*|version|apis/[^/]+(/[^/]+)?|api/v1|apis/metrics\.k8s\.io/v1beta1/.*"
        r"|api/v1/namespaces/[^/]+/(status|finalize))"
    )
    path = re.compile(
        r"/(?:api|apis/(?P<group>[^/]+))/(?P<version>[^/]+)(?:/namespaces/[^/]+(?=/))?/(?P<plural>[^/]+)"
        r"(?:/[^/]+(?:/(?P<sub>[^/]+))?)?"
    )
    found = []
    for method, one in sorted(asked):
        match = path.fullmatch(one)
        resource = match and TABLE.by_path(match["group"] or "", match["version"], match["plural"])
        if not resource and not plain.fullmatch(one):
            found.append(f"{method} {one}")
    return found


async def test_the_controllers_and_the_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(nodes=2)
    recorder = Recorder(cluster.server)
    monkeypatch.setattr(ApiServer, "handler", property(lambda _server: recorder))
    async with cluster:
        client = cluster.client
        await client.create(
            NAMESPACES, {**made("v1", "Namespace", "leaving"), "metadata": {"name": "leaving"}}
        )
        await client.create(PERSISTENT_VOLUMES, VOLUME)
        for gvr, obj in OBJECTS:
            await client.create(gvr, obj)
        await cluster.wait_for(
            DEPLOYMENTS, "d", "default", lambda d: ((d or {}).get("status") or {}).get("readyReplicas") == 2
        )
        await cluster.wait_for(JOBS, "j", "default", lambda j: j is None)
        await cluster.wait_for(
            HORIZONTAL_POD_AUTOSCALERS,
            "h",
            "default",
            lambda h: bool(((h or {}).get("status") or {}).get("conditions")),
        )
        await client.delete(DEPLOYMENTS, "d", "default", propagation="Foreground")
        await client.delete(REPLICATION_CONTROLLERS, "rc", "default", propagation="Orphan")
        await client.delete(PERSISTENT_VOLUME_CLAIMS, "pvc", "default")
        await client.delete(NODES, "node-2")
        await client.delete(NAMESPACES, "leaving")
        for gvr, name, namespace in (
            (DEPLOYMENTS, "d", "default"),
            (PERSISTENT_VOLUME_CLAIMS, "pvc", "default"),
            (NAMESPACES, "leaving", ""),
        ):
            await cluster.wait_for(gvr, name, namespace, lambda obj: obj is None)
    assert recorder.faults == []
    assert strange(recorder.asked) == []
    assert ("POST", "/api/v1/namespaces/kube-system/serviceaccounts/job-controller/token") in recorder.asked


@contextlib.asynccontextmanager
async def acting(cluster: Cluster, user: str, *groups: str) -> AsyncIterator[tuple[Client, Recorder]]:
    """A client that is somebody, by an administrator's leave."""
    recorder = Recorder(cluster.server)
    headers = {"Authorization": f"Bearer {cluster.token}", "Impersonate-User": user}
    if groups:
        headers["Impersonate-Group"] = groups[0]
    client = Client(InProcessTransport(recorder, headers=headers))
    try:
        yield client, recorder
    finally:
        await client.close()


@contextlib.asynccontextmanager
async def working(work: Any) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_kubelet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiphys.kubelet.kubelet.Cgroups", NoCgroups)
    monkeypatch.setattr("tiphys.kubelet.volumes.mount.mount", lambda *_args, **_named: None)
    runtime = FakeRuntime()
    runtime.add_image("docker.io/library/img:1")
    options = KubeletOptions(
        node_name="n1", root_dir=tmp_path / "kubelet", logs_dir=tmp_path / "logs", node_ips=("192.0.2.1",),
        resolv_conf="", server=None, relist_s=0.02, housekeeping_s=0.05,
    )  # fmt: skip
    async with (
        Cluster(nodes=0, scheduler=False, controller_options={"root_ca_pem": "ca"}) as cluster,
        acting(cluster, "system:node:n1", "system:nodes") as (client, recorder),
        working(Kubelet(client, options, runtime=runtime, measure=dict).run()),
    ):
        await cluster.wait_for(LEASES, "n1", "kube-node-lease")
        await cluster.client.create(SECRETS, made("v1", "Secret", "own", data={"a": "Yg=="}))
        env = [{"secretRef": {"name": "own"}}]
        volumes = [{"name": "v", "secret": {"secretName": "own"}}]
        pod = {"nodeName": "n1", "containers": [{**POD["containers"][0], "envFrom": env}], "volumes": volumes}
        await cluster.client.create(PODS, made("v1", "Pod", "p", spec=pod))
        await cluster.wait_for(
            PODS, "p", "default", lambda p: ((p or {}).get("status") or {}).get("phase") == "Running"
        )
        await cluster.client.delete(PODS, "p", "default", grace_period_s=0)
        await cluster.wait_for(PODS, "p", "default", lambda p: p is None)
    assert recorder.faults == []
    assert strange(recorder.asked) == []
    assert ("POST", "/api/v1/namespaces/default/serviceaccounts/default/token") in recorder.asked


def binding(name: str, role: str) -> dict[str, Any]:
    """Give the nodes that join what kubeadm gives them."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": JOINING}],
    }


async def until_it_may(client: Client) -> None:
    """Wait until the authorizer has heard of the bindings."""
    asked = {"group": "certificates.k8s.io", "resource": "certificatesigningrequests", "verb": "create"}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "metadata": {},
        "spec": {"resourceAttributes": asked},
    }
    async with asyncio.timeout(30):
        while not (await client.create(SELF_SUBJECT_ACCESS_REVIEWS, review))["status"]["allowed"]:  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_a_kubelet_that_joins(tmp_path: Path) -> None:
    """It asks, is approved by the controllers, and has a certificate in its own name."""
    authority = pki.make_ca("argo", RealClock().now())
    signing = {
        "signing_certificate_pem": authority.certificate.decode(),
        "signing_key_pem": authority.key.decode(),
    }
    credentials = Credentials(Rotation(tmp_path / "none", folder=tmp_path), "n1")
    async with (
        Cluster(nodes=0, scheduler=False, controller_options=signing) as cluster,
        acting(cluster, "system:bootstrap:abcdef", JOINING) as (client, recorder),
    ):
        for name, role in (
            ("ask", "system:node-bootstrapper"),
            ("approve", "system:certificates.k8s.io:certificatesigningrequests:nodeclient"),
        ):
            await cluster.client.create(CLUSTER_ROLE_BINDINGS, binding(name, role))
        await until_it_may(client)
        pair = await credentials._until_answered(client)
    assert recorder.faults == []
    found = x509.load_pem_x509_certificate(pair.certificate)
    assert found.subject.rfc4514_string() == "CN=system:node:n1,O=system:nodes"


class NoKernel:
    async def apply(self, commands: Iterable[str]) -> None: ...

    async def chain_names(self, table: Any) -> set[str] | None:
        return None

    async def forget_flows(self, targets: Any) -> int:
        return 0


async def test_a_proxy() -> None:
    async with (
        Cluster(nodes=1) as cluster,
        acting(cluster, "system:kube-proxy") as (client, recorder),
    ):
        proxy = Proxy(client, ProxyOptions("node-1"), kernel=NoKernel())
        async with working(proxy.run()):
            await proxy._informers.wait_synced()
    assert recorder.faults == []
    assert strange(recorder.asked) == []
    assert len(recorder.asked) >= 3
