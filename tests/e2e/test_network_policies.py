"""NetworkPolicies and real packets: who gets through to whom on two nodes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cluster import RunningCluster, eventually
from manifests import service
from test_network_paths import asker, ip_of, server

pytestmark = pytest.mark.e2e

_TRY = """
import socket, sys
kind, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
s.settimeout(1)
try:
    s.connect((host, port))
    s.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
    print("through" if s.recv(512) else "closed", end="")
except OSError as error:
    print(type(error).__name__, end="")
"""
_HOLD = """
import socket, sys
s = socket.create_connection((sys.argv[1], 8080))
print("open", flush=True)
sys.stdin.readline()
s.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
print(s.recv(512).decode(), flush=True)
"""


def policy(name: str, app: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"podSelector": {"matchLabels": {"app": app}}, **spec},
    }


def apps(*names: str) -> list[dict[str, Any]]:
    return [{"podSelector": {"matchLabels": {"app": name}}} for name in names]


class Askers:
    """Pods that try to reach the server."""

    def __init__(self, it: RunningCluster, address: str) -> None:
        self.it, self.address = it, address

    def through(self, who: str, kind: str = "tcp", port: int = 8080, host: str = "") -> bool:
        args = ["--", "/usr/bin/python3", "-c", _TRY, kind, host or self.address, str(port)]
        return self.it.kubectl("exec", who, *args) == "through"

    def expect(self, **expected: bool) -> None:
        """Wait until each gets through or does not."""
        eventually(lambda: {who: self.through(who) for who in expected} == expected, 30)


@pytest.fixture
def askers(cluster: RunningCluster) -> Askers:
    it = cluster
    ports = [
        {"name": "http", "containerPort": 8080},
        {"name": "udp", "containerPort": 8081, "protocol": "UDP"},
    ]
    it.apply(server("web", "node-1", ports=ports), asker("near", "node-1"), asker("far", "node-2"))
    for name in ("near", "far"):
        it.kubectl("label", "pod", name, f"app={name}", "--overwrite")
    it.apply(service("web", ports=[{"port": 80, "targetPort": "http"}]))
    it.ready("web", "near", "far")
    made = Askers(it, ip_of(it, "pod/web"))
    made.expect(near=True, far=True)
    return made


def test_who_may_come_in(askers: Askers) -> None:
    it = askers.it
    held = it.background("exec", "-i", "near", "--", "/usr/bin/python3", "-u", "-c", _HOLD, askers.address)
    with held as connection:
        connection.until("open")
        it.apply(policy("closed", "web", policyTypes=["Ingress"]))
        askers.expect(near=False, far=False)
        # What was open stays open.
        assert connection.process.stdin is not None
        connection.process.stdin.write(b"go\n")
        connection.process.stdin.flush()
        connection.until("200 OK")
    it.apply(policy("some", "web", ingress=[{"from": apps("near"), "ports": [{"port": "http"}]}]))
    askers.expect(near=True, far=False)
    assert not askers.through("near", "udp", 8081)
    assert askers.through("near", port=80, host=it.path("service/web", ".spec.clusterIP"))
    it.apply(policy("some", "web", ingress=[{"ports": [{"port": 8080, "endPort": 8090, "protocol": "UDP"}]}]))
    askers.expect(near=False, far=False)
    assert askers.through("far", "udp", 8081)
    block = {"cidr": "0.0.0.0/0", "except": [f"{ip_of(it, 'pod/near')}/32"]}
    it.apply(policy("some", "web", ingress=[{"from": [{"ipBlock": block}]}]))
    askers.expect(near=False, far=True)
    # The node's own probes go on all the while.
    it.ready("web")
    it.kubectl("delete", "networkpolicy", "--all")
    askers.expect(near=True, far=True)


def test_another_namespace(askers: Askers) -> None:
    it = askers.it
    elsewhere = f"{it.namespace}-else"
    it.kubectl("create", "namespace", elsewhere)
    try:
        it.kubectl("apply", "-n", elsewhere, "-f", "-", stdin=json.dumps(asker("alien", "node-2")))
        it.kubectl("wait", "-n", elsewhere, "pod/alien", "--for=condition=Ready", "--timeout=60s")

        def alien_through() -> bool:
            args = ["--", "/usr/bin/python3", "-c", _TRY, "tcp", askers.address, "8080"]
            return it.kubectl("exec", "-n", elsewhere, "alien", *args) == "through"

        peer = {"namespaceSelector": {"matchLabels": {"door": "open"}}}
        it.apply(policy("some", "web", ingress=[{"from": [peer]}]))
        askers.expect(near=False, far=False)
        assert not alien_through()
        it.kubectl("label", "namespace", elsewhere, "door=open")
        eventually(alien_through, 30)
    finally:
        it.kubectl("delete", "namespace", elsewhere, "--wait=false")


def test_who_may_go_out(askers: Askers) -> None:
    it = askers.it
    it.apply(
        policy("shut", "far", policyTypes=["Egress"]), policy("shut-near", "near", policyTypes=["Egress"])
    )
    askers.expect(near=False, far=False)
    it.apply(
        policy(
            "shut", "far", policyTypes=["Egress"], egress=[{"to": apps("web"), "ports": [{"port": "http"}]}]
        )
    )
    askers.expect(near=False, far=True)
    assert not askers.through("far", "udp", 8081)
    assert askers.through("far", port=80, host=it.path("service/web", ".spec.clusterIP"))
