"""A cluster with flags of its maker's: a proxy before its nodes, policies in a file, versions, gates."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cluster import RunningCluster
from images import busybox_image, web_image
from leftovers import machine
from manifests import pod, service, web_container
from tests.apiserver.egress.proxies import Asked, connect_proxy

pytestmark = pytest.mark.e2e
SELECTOR = """\
apiVersion: apiserver.k8s.io/v1beta1
kind: EgressSelectorConfiguration
egressSelections:
- name: cluster
  connection:
    proxyProtocol: HTTPConnect
    transport: {uds: {udsName: SOCKET}}
"""
POLICIES = [
    {"user": "alice", "namespace": "projects", "resource": "pods", "readonly": True, "apiGroup": "*"},
    {"user": "alice", "nonResourcePath": "/version"},
]


@contextmanager
def _proxy(asked: Asked, path: Path) -> Iterator[None]:
    """Run a CONNECT proxy on a unix socket beside the test."""
    ready, end = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with connect_proxy(asked, path=path):
            ready.set()
            await end.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), name="proxy")
    thread.start()
    assert ready.wait(30)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()
        loop.close()


@dataclass
class World:
    cluster: RunningCluster
    asked: Asked

    @property
    def kubelet(self) -> str:
        """Where the node's kubelet is, as the proxy is asked for it."""
        return f"172.29.{self.cluster.index}.2:10250"


@pytest.fixture(scope="module")
def world(new_kubectl: str) -> Iterator[World]:
    home = Path(tempfile.mkdtemp(prefix="tiphys-e2e-flags-"))
    cluster = RunningCluster(home, name="flags", binary=new_kubectl, namespace="projects")
    selector, policies = home / "selector.yaml", home / "policies.jsonl"
    selector.write_text(SELECTOR.replace("SOCKET", str(home / "proxy.sock")))
    head = {"apiVersion": "abac.authorization.kubernetes.io/v1beta1", "kind": "Policy"}
    policies.write_text("".join(f"{json.dumps({**head, 'spec': spec})}\n" for spec in POLICIES))
    flags = {
        "egress-selector-config-file": selector,
        "authorization-mode": "Node,ABAC,RBAC",
        "authorization-policy-file": policies,
    }
    extra = [
        word for flag, value in flags.items() for word in ("--extra-config", f"apiserver.{flag}={value}")
    ]
    index = None
    asked = Asked()
    with _proxy(asked, home / "proxy.sock"):
        try:
            cluster.tiphys(
                "up", "--name", "flags", "--no-install", "--runtime-config", "api/all=true",
                "--feature-gates", "ClusterTrustBundle=true", *extra,
            )  # fmt: skip
            index = cluster.index
            for name, data in (("busybox", busybox_image()), ("web", web_image(1))):
                (home / f"{name}.tar").write_bytes(data)
                cluster.tiphys("images", "import", "--name", "flags", str(home / f"{name}.tar"))
            cluster.kubectl("create", "namespace", "projects")
            cluster.apply(pod("web", web_container()), service("web"))
            cluster.ready("web")
            yield World(cluster, asked)
        finally:
            cluster.tiphys("down", "--name", "flags")
            left = machine(home, index) if index is not None else set()
            shutil.rmtree(home)
    assert not left


def test_whatever_lies_in_the_cluster_is_reached_through_the_proxy(world: World) -> None:
    cluster, asked = world.cluster, world.asked
    address = cluster.path("pod/web", ".status.podIP")
    ways: list[tuple[tuple[str, ...], str, str]] = [
        (("exec", "web", "--", "echo", "by the proxy"), "by the proxy", world.kubelet),
        (("logs", "web"), "", world.kubelet),
        (("get", "--raw", "/api/v1/namespaces/projects/pods/web:80/proxy/"), "", f"{address}:80"),
        (("get", "--raw", "/api/v1/namespaces/projects/services/web:80/proxy/"), "", f"{address}:80"),
    ]
    for command, said, wanted in ways:
        asked.addresses.clear()
        assert said in cluster.kubectl(*command), command
        assert wanted in asked.addresses, command
        assert set(asked.addresses) <= {wanted, world.kubelet}, "the kubelet is asked for its figures, too"
    asked.addresses.clear()
    with cluster.background("port-forward", "pod/web", ":80") as forwarding:
        port = forwarding.until("-> 80").rpartition("127.0.0.1:")[2].split()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
            assert answer.read() == b"v1 web\n"
    assert set(asked.addresses) == {world.kubelet}


def test_a_proxy_that_refuses_is_told_of(world: World) -> None:
    cluster, asked = world.cluster, world.asked
    asked.answer = b"HTTP/1.1 403 Forbidden\r\n\r\n"
    try:
        refused = cluster.try_kubectl("exec", "web", "--", "true")
    finally:
        asked.answer = Asked().answer
    assert refused.code != 0
    assert "403 Forbidden" in refused.all
    assert cluster.kubectl("exec", "web", "--", "echo", "again") == "again\n"


def test_policies_of_a_file_allow_what_roles_do_not(world: World) -> None:
    cluster = world.cluster
    assert "web" in cluster.kubectl("get", "pods", "--as", "alice")
    assert "gitVersion" in cluster.kubectl("get", "--raw", "/version", "--as", "alice")
    for command in (("delete", "pod", "web"), ("get", "secrets"), ("exec", "web", "--", "ls")):
        refused = cluster.try_kubectl("--as", "alice", *command)
        assert refused.code != 0, command
        assert "No policy matched." in refused.all, command
    elsewhere = replace(cluster, namespace="default").try_kubectl("get", "pods", "--as", "alice")
    assert 'cannot list resource "pods" in API group "" in the namespace "default"' in elsewhere.all
    for name, said in (("alice", "yes\n"), ("bob", "no - No policy matched.\n")):
        assert cluster.try_kubectl("auth", "can-i", "list", "pods", "--as", name).out == said


def test_versions_and_kinds_that_were_asked_for(world: World) -> None:
    cluster = world.cluster
    served = cluster.kubectl("api-versions").split()
    assert {"resource.k8s.io/v1beta2", "resource.k8s.io/v1alpha3", "certificates.k8s.io/v1beta1"} <= {*served}
    names = cluster.kubectl("api-resources", "-o", "name").split()
    assert "clustertrustbundles.certificates.k8s.io" in names
    assert "podgroups.scheduling.k8s.io" not in names
    authority = cluster.path("configmap/kube-root-ca.crt", ".data.ca\\.crt")
    bundle = {
        "apiVersion": "certificates.k8s.io/v1beta1", "kind": "ClusterTrustBundle",
        "metadata": {"name": "mine"}, "spec": {"trustBundle": authority},
    }  # fmt: skip
    assert "clustertrustbundle.certificates.k8s.io/mine created" in cluster.apply(bundle)
    assert "mine" in cluster.kubectl("get", "clustertrustbundles")
