"""Who reaches whom: pods across nodes, Services by address and name, node ports, the API from inside."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import pytest
from cluster import RunningCluster, eventually
from manifests import container, deployment, pod, service, web_container

pytestmark = pytest.mark.e2e

_ASK = """
import ssl, sys, urllib.request
folder = "/var/run/secrets/kubernetes.io/serviceaccount/"
headers = {"Authorization": "Bearer " + open(folder + "token").read()}
url = "https://kubernetes.default/api/v1/namespaces/" + open(folder + "namespace").read() + "/" + sys.argv[1]
trust = ssl.create_default_context(cafile=folder + "ca.crt")
request = urllib.request.Request(url, headers=headers)
try:
    print(urllib.request.urlopen(request, context=trust, timeout=10).read().decode())
except urllib.error.HTTPError as error:
    print(error.read().decode())
"""
"""Run with the machine's own Python inside the pod: busybox knows too little of TLS."""


def _fetch(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=3) as answer:
            return str(answer.read().decode())
    except (urllib.error.URLError, OSError) as error:
        raise AssertionError(f"{url}: {error}") from error


def test_pods_services_names_and_node_ports(session_cluster: RunningCluster) -> None:
    """In the namespace default, with the names people know from every tutorial."""
    it = session_cluster
    far = pod("far", web_container(), nodeName="node-2")
    it.apply(pod("near", nodeName="node-1"), far, deployment("web", 2, web_container()))
    it.apply(service("web", type="NodePort"))
    try:
        it.ready("near", "far")
        it.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        far_ip = it.path("pod/far", ".status.podIP")
        assert it.sh("near", f"timeout 5 wget -qO- http://{far_ip}/") == "v1 far\n"
        for target in (it.path("service/web", ".spec.clusterIP"), "web", "web.default.svc.cluster.local"):
            eventually(
                lambda t=target: it.sh("near", f"timeout 5 wget -qO- http://{t}/").startswith("v1 web-"), 20
            )
        seen = {it.sh("near", "timeout 5 wget -qO- http://web/") for _ in range(20)}
        assert len(seen) == 2
        port = it.path("service/web", ".spec.ports[0].nodePort")
        for node in ("node-1", "node-2"):
            ip = it.path(f"node/{node}", '.status.addresses[?(@.type=="InternalIP")].address')
            assert _fetch(f"http://{ip}:{port}/").startswith("v1 web-")
        # Its own Service answers a pod too.
        own = it.kubectl("get", "pods", "-l", "app=web", "-o", "name").split()[0].removeprefix("pod/")
        answers = {it.sh(own, "timeout 5 wget -qO- http://web/") for _ in range(10)}
        assert f"v1 {own}\n" in answers
    finally:
        it.kubectl("delete", "deployment/web", "service/web", "pod/near", "pod/far", "--wait=false")


def test_the_api_from_a_pod(cluster: RunningCluster) -> None:
    cluster.kubectl("create", "role", "reader", "--verb=list", "--resource=pods")
    cluster.kubectl(
        "create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={cluster.namespace}:default"
    )
    tree = ("usr", "lib", "lib64")
    mounts = [{"name": name, "mountPath": f"/{name}", "readOnly": True} for name in tree]
    volumes = [{"name": name, "hostPath": {"path": f"/{name}"}} for name in tree]
    cluster.apply(pod("inside", container(volumeMounts=mounts), volumes=volumes))
    cluster.ready("inside")

    def ask(what: str) -> Any:
        return json.loads(cluster.kubectl("exec", "inside", "--", "/usr/bin/python3", "-c", _ASK, what))

    assert [item["metadata"]["name"] for item in ask("pods")["items"]] == ["inside"]
    refused = ask("secrets")
    assert refused["code"] == 403
    who = f"system:serviceaccount:{cluster.namespace}:default"
    assert f'User "{who}" cannot list resource "secrets"' in refused["message"]


def test_endpoints_follow_readiness(cluster: RunningCluster) -> None:
    probe = {"exec": {"command": ["cat", "/tmp/ready"]}, "periodSeconds": 1, "failureThreshold": 1}
    cluster.apply(pod("app", {**web_container(), "readinessProbe": probe}), service("app"))
    cluster.wait("pod/app", "jsonpath={.status.phase}=Running")
    assert cluster.path("pod/app", '.status.conditions[?(@.type=="Ready")].status') == "False"
    ready = ".items[*].endpoints[*].conditions.ready"

    def endpoints() -> str:
        return cluster.kubectl(
            "get", "endpointslices", "-l", "kubernetes.io/service-name=app", "-o", f"jsonpath={{{ready}}}"
        )

    eventually(lambda: endpoints() == "false")
    cluster.sh("app", "echo yes > /tmp/ready")
    eventually(lambda: endpoints() == "true")
    assert cluster.path("endpoints/app", ".subsets[0].addresses[0].ip") == cluster.path(
        "pod/app", ".status.podIP"
    )
    cluster.sh("app", "busybox rm /tmp/ready")
    eventually(lambda: endpoints() == "false")


def test_a_headless_service_names_its_pods(cluster: RunningCluster) -> None:
    cluster.apply(service("group", clusterIP="None"), pod("asker"))
    member = pod("group", container(), hostname="one", subdomain="group")
    cluster.apply(member)
    cluster.ready("asker", "group")
    ip = cluster.path("pod/group", ".status.podIP")
    eventually(
        lambda: ip in cluster.sh("asker", "nslookup one.group." + cluster.namespace + ".svc.cluster.local")
    )
