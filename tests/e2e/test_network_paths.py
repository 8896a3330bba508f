"""Real packets, HTTP and UDP, on all ways that lead to a pod: nodes, host ports, Services of every kind."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from cluster import RunningCluster, eventually
from images import BUSYBOX
from manifests import IDLE, container, pod, service

pytestmark = pytest.mark.e2e

_NET = """
import socket, sys
kind, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
source = sys.argv[4] if len(sys.argv) > 4 else ""
if kind == "udp":
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(2)
    if source: s.bind((source, 0))
    s.sendto(b"who", (host, port))
    print(s.recvfrom(512)[0].decode(), end="")
else:
    s = socket.create_connection((host, port), 3, (source, 0) if source else None)
    s.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
    data = b""
    while chunk := s.recv(4096): data += chunk
    print(data.partition(b"\\r\\n\\r\\n")[2].decode(), end="")
"""
_SERVE = """
import socket, sys, threading, http.server
name, tcp, udp = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = (name + " " + self.client_address[0] + "\\n").encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *rest): pass
def serve_udp():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", udp))
    while True:
        _, peer = s.recvfrom(512); s.sendto((name + " " + peer[0] + "\\n").encode(), peer)
threading.Thread(target=serve_udp, daemon=True).start()
http.server.ThreadingHTTPServer(("", tcp), Page).serve_forever()
"""
_TREE = ("usr", "lib", "lib64")


def _python(script: str, *args: str) -> dict[str, Any]:
    """A container that runs the machine's own Python: busybox speaks no UDP that tests can trust."""
    return {
        "name": "main",
        "image": BUSYBOX,
        "command": ["/usr/bin/python3", "-c", script, *args],
        "volumeMounts": [{"name": name, "mountPath": f"/{name}", "readOnly": True} for name in _TREE],
    }


def _volumes() -> list[dict[str, Any]]:
    return [{"name": name, "hostPath": {"path": f"/{name}"}} for name in _TREE]


def server(name: str, node: str, *, app: str = "", ports: Any = (), **spec: Any) -> dict[str, Any]:
    made = pod(name, {**_python(_SERVE, name, "8080", "8081"), "ports": list(ports)}, nodeName=node)
    made["metadata"]["labels"]["app"] = app or name
    made["spec"] |= {"volumes": _volumes(), **spec}
    probe = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    made["spec"]["containers"][0]["readinessProbe"] = probe
    return made


def asker(name: str, node: str, **spec: Any) -> dict[str, Any]:
    idle = _python("import time; time.sleep(100000)")
    return pod(name, idle, nodeName=node, volumes=_volumes(), terminationGracePeriodSeconds=0, **spec)


def ask(it: RunningCluster, who: str, kind: str, host: str, port: int | str, source: str = "") -> str:
    """Return what answers ``<name> <the address it saw>``."""
    args = [kind, host, str(port), *([source] if source else [])]
    return it.kubectl("exec", who, "--", "/usr/bin/python3", "-c", _NET, *args).strip()


def ip_of(it: RunningCluster, what: str) -> str:
    return it.path(what, ".status.podIP")


def node_ip(it: RunningCluster, node: str) -> str:
    return it.path(f"node/{node}", '.status.addresses[?(@.type=="InternalIP")].address')


@pytest.mark.parametrize("kind", ["http", "udp"])
def test_pods_and_nodes_reach_pods(cluster: RunningCluster, kind: str) -> None:
    it = cluster
    it.apply(server("one", "node-1"), server("two", "node-2"), asker("pod", "node-1"))
    it.apply(asker("host", "node-1", hostNetwork=True))
    it.ready("one", "two", "pod", "host")
    port = 8080 if kind == "http" else 8081
    for who in ("pod", "host"):
        for name in ("one", "two"):
            answer = ask(it, who, kind, ip_of(it, f"pod/{name}"), port)
            assert answer.split()[0] == name
    # Between pods nobody's address is changed.
    assert ask(it, "pod", kind, ip_of(it, "pod/two"), port) == f"two {ip_of(it, 'pod/pod')}"


def test_one_port_two_protocols_and_many_ports(cluster: RunningCluster) -> None:
    it = cluster
    it.apply(server("a", "node-1", app="web"), server("b", "node-2", app="web"), asker("pod", "node-1"))
    ports = [
        {"name": "tcp", "port": 80, "protocol": "TCP", "targetPort": 8080},
        {"name": "udp", "port": 80, "protocol": "UDP", "targetPort": 8081},
        {"name": "more", "port": 81, "targetPort": 8080},
    ]
    it.apply(service("web", type="NodePort", ports=ports))
    it.ready("a", "b", "pod")
    address = it.path("service/web", ".spec.clusterIP")
    numbers = it.path("service/web", ".spec.ports[*].nodePort").split()
    assert numbers[0] == numbers[1]
    for kind, host, port in (
        ("http", address, 80),
        ("udp", address, 80),
        ("http", address, 81),
        ("http", node_ip(it, "node-2"), numbers[0]),
        ("udp", node_ip(it, "node-2"), numbers[1]),
        ("http", node_ip(it, "node-1"), numbers[2]),
    ):
        eventually(lambda k=kind, h=host, p=port: ask(it, "pod", k, h, p), 20)
        seen = {ask(it, "pod", kind, host, port).split()[0] for _ in range(16)}
        assert seen == {"a", "b"}, (kind, host, port)


def test_slices_made_by_hand(cluster: RunningCluster) -> None:
    """A Service without a selector reaches what EndpointSlices name: several addresses, several ports."""
    it = cluster
    it.apply(server("a", "node-1"), server("b", "node-2"), asker("pod", "node-1"))
    it.ready("a", "b", "pod")
    plain = service(
        "hand", ports=[{"name": "one", "port": 80}, {"name": "two", "port": 81, "protocol": "UDP"}]
    )
    del plain["spec"]["selector"]
    slices = [
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": f"hand-{name}", "labels": {"kubernetes.io/service-name": "hand"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [ip_of(it, f"pod/{name}")], "conditions": {"ready": True}}],
            "ports": [
                {"name": "one", "port": 8080, "protocol": "TCP"},
                {"name": "two", "port": 8081, "protocol": "UDP"},
            ],
        }
        for name in ("a", "b")
    ]
    it.apply(plain, *slices)
    address = it.path("service/hand", ".spec.clusterIP")
    for kind, port in (("http", 80), ("udp", 81)):
        eventually(lambda k=kind, p=port: ask(it, "pod", k, address, p), 20)
        assert {ask(it, "pod", kind, address, port).split()[0] for _ in range(16)} == {"a", "b"}


def test_udp_follows_its_endpoint(cluster: RunningCluster) -> None:
    """A flow from one source port moves on when its endpoint goes: the kernel's memory of it is cleared."""
    it = cluster
    script = _NET.replace("s.settimeout(2)", 's.settimeout(2); s.bind(("", 40001))')
    it.apply(server("a", "node-1", app="u"), asker("pod", "node-2"))
    it.apply(service("u", ports=[{"port": 80, "protocol": "UDP", "targetPort": 8081}]))
    it.ready("a", "pod")
    address = it.path("service/u", ".spec.clusterIP")

    def same_source() -> str:
        return it.kubectl(
            "exec", "pod", "--", "/usr/bin/python3", "-c", script, "udp", address, "80"
        ).split()[0]

    eventually(lambda: same_source() == "a", 20)
    it.apply(server("b", "node-2", app="u"))
    it.ready("b")
    it.kubectl("delete", "pod/a", "--grace-period=0", "--force")
    eventually(lambda: same_source() == "b", 20)


def test_affinity_switches_on_and_off(cluster: RunningCluster) -> None:
    it = cluster
    it.apply(
        *(server(name, node, app="s") for name, node in (("a", "node-1"), ("b", "node-2"), ("c", "node-1")))
    )
    it.apply(asker("pod", "node-1"))
    it.apply(
        service("s", type="NodePort", sessionAffinity="ClientIP", ports=[{"port": 80, "targetPort": 8080}])
    )
    it.ready("a", "b", "c", "pod")
    targets = [
        (it.path("service/s", ".spec.clusterIP"), "80"),
        (node_ip(it, "node-2"), it.path("service/s", ".spec.ports[0].nodePort")),
    ]

    def seen(host: str, port: str) -> set[str]:
        return {ask(it, "pod", "http", host, port).split()[0] for _ in range(12)}

    for host, port in targets:
        eventually(lambda h=host, p=port: len(seen(h, p)) == 1, 30)
    it.kubectl("patch", "service/s", "-p", '{"spec":{"sessionAffinity":"None"}}')
    for host, port in targets:
        eventually(lambda h=host, p=port: len(seen(h, p)) > 1, 30)
    it.kubectl("patch", "service/s", "-p", '{"spec":{"sessionAffinity":"ClientIP"}}')
    for host, port in targets:
        eventually(lambda h=host, p=port: len(seen(h, p)) == 1, 30)


def test_a_service_through_all_its_types(cluster: RunningCluster) -> None:
    it = cluster
    it.apply(server("web", "node-1"), asker("pod", "node-2"))
    plain = service("web", ports=[{"port": 80, "targetPort": 8080}])
    external = service("web", type="ExternalName", externalName="web.example.com")
    del external["spec"]["selector"], external["spec"]["ports"]
    it.apply(external)
    it.ready("web", "pod")
    name = f"web.{it.namespace}.svc.cluster.local"

    def lookup() -> str:
        return it.try_kubectl("exec", "pod", "--", "nslookup", "-type=cname", name).out

    eventually(lambda: "web.example.com" in lookup(), 30)
    it.kubectl("replace", "-f", "-", stdin=json.dumps(plain))
    eventually(lambda: ask(it, "pod", "http", name, 80).startswith("web "), 30)
    node = {**plain, "spec": {**plain["spec"], "type": "NodePort"}}
    it.apply(node)
    port = it.path("service/web", ".spec.ports[0].nodePort")
    eventually(lambda: ask(it, "pod", "http", node_ip(it, "node-2"), port).startswith("web "), 30)
    it.kubectl(
        "patch", "service/web", "-p", '{"spec":{"type":"ExternalName","externalName":"web.example.com"}}'
    )
    eventually(lambda: "web.example.com" in lookup(), 30)
    assert it.path("service/web", ".spec.clusterIP") == ""


def test_local_traffic_keeps_the_address_and_tells_load_balancers(cluster: RunningCluster) -> None:
    it = cluster
    it.apply(server("web", "node-1"), asker("host", "node-2", hostNetwork=True), asker("pod", "node-2"))
    it.apply(
        service(
            "web",
            type="LoadBalancer",
            externalTrafficPolicy="Local",
            loadBalancerSourceRanges=[f"{node_ip(it, 'node-2')}/32"],
            ports=[{"port": 80, "targetPort": 8080}],
        )
    )
    it.ready("web", "host", "pod")
    port, check = (
        it.path("service/web", path) for path in (".spec.ports[0].nodePort", ".spec.healthCheckNodePort")
    )
    near, far = node_ip(it, "node-1"), node_ip(it, "node-2")
    eventually(lambda: ask(it, "host", "http", near, port) == f"web {far}", 20)
    health = eventually(lambda: ask(it, "host", "http", near, check), 20)
    assert '"localEndpoints": 1' in health
    eventually(lambda: '"localEndpoints": 0' in ask(it, "host", "http", far, check), 20)
    status = '{"status":{"loadBalancer":{"ingress":[{"ip":"198.51.100.7"}]}}}'
    it.kubectl("patch", "service/web", "--subresource=status", "--type=merge", "-p", status)
    # The balancer's address works from the range that may use it, also on a node without an endpoint.
    ranges = '{"spec":{"loadBalancerSourceRanges":["%s/32"]}}'
    it.kubectl("patch", "service/web", "-p", ranges % ip_of(it, "pod/pod"))
    eventually(lambda: ask(it, "pod", "http", "198.51.100.7", 80).startswith("web "), 20)
    it.kubectl("patch", "service/web", "-p", ranges % "203.0.113.1")

    def refused() -> bool:
        argv = ("exec", "pod", "--", "/usr/bin/python3", "-c", _NET, "http", "198.51.100.7", "80")
        answer = it.try_kubectl(*argv)
        return answer.code != 0 and "timed out" in answer.all

    eventually(refused, 30)


def test_near_endpoints_are_preferred(cluster: RunningCluster) -> None:
    it = cluster
    it.apply(server("a", "node-1", app="n"), server("b", "node-2", app="n"), asker("pod", "node-2"))
    ports = [{"port": 80, "targetPort": 8080}]
    it.apply(service("n", trafficDistribution="PreferSameNode", ports=ports))
    it.ready("a", "b", "pod")
    address = it.path("service/n", ".spec.clusterIP")

    def seen() -> set[str]:
        return {ask(it, "pod", "http", address, 80).split()[0] for _ in range(10)}

    eventually(lambda: seen() == {"b"}, 30)
    it.kubectl("delete", "pod/b", "--grace-period=0", "--force")
    eventually(lambda: seen() == {"a"}, 30)


def test_host_ports_differ_by_address_and_protocol(cluster: RunningCluster) -> None:
    it = cluster
    address = node_ip(it, "node-1")

    def port(protocol: str, host_ip: str) -> dict[str, Any]:
        inner = 8080 if protocol == "TCP" else 8081
        return {"hostPort": 54323, "hostIP": host_ip, "protocol": protocol, "containerPort": inner}

    it.apply(
        server("one", "node-1", ports=[port("TCP", "127.0.0.1")]),
        server("two", "node-1", ports=[port("TCP", address)]),
        server("three", "node-1", ports=[port("UDP", address)]),
        asker("host", "node-1", hostNetwork=True),
    )
    it.ready("one", "two", "three", "host")
    assert ask(it, "host", "http", "127.0.0.1", 54323).startswith("one ")
    assert ask(it, "host", "http", "127.0.0.1", 54323, address).startswith("one ")
    assert ask(it, "host", "http", address, 54323).startswith("two ")
    assert ask(it, "host", "udp", address, 54323).startswith("three ")


def _kubernetes(it: RunningCluster) -> str:
    return it.kubectl("get", "service/kubernetes", "-n", "default", "-o", "jsonpath={.spec.clusterIP}")


def test_names_of_pods_services_and_the_cluster(cluster: RunningCluster) -> None:
    it = cluster
    ns = it.namespace
    it.apply(service("group", clusterIP="None", ports=[{"name": "web", "port": 80}]), service("web"))
    member = pod("member", container(), hostname="one", subdomain="group")
    member["metadata"]["labels"]["app"] = "group"
    settings = {
        "nameservers": ["192.0.2.3"],
        "searches": ["a.example"],
        "options": [{"name": "ndots", "value": "2"}],
    }
    it.apply(member, pod("asker"), pod("own", container(IDLE), dnsPolicy="None", dnsConfig=settings))
    it.ready("member", "asker", "own")
    address, cluster_ip = ip_of(it, "pod/member"), it.path("service/web", ".spec.clusterIP")

    def found(name: str, expected: str, *more: str) -> None:
        def look() -> bool:
            out = it.try_kubectl("exec", "asker", "--", "nslookup", *more, name).out
            return expected in out

        eventually(look, 30)

    found(f"group.{ns}.svc.cluster.local", address)
    found(f"one.group.{ns}.svc.cluster.local", address)
    found(f"web.{ns}.svc.cluster.local", cluster_ip)
    found("kubernetes.default.svc.cluster.local", _kubernetes(it))
    found(f"_web._tcp.group.{ns}.svc.cluster.local", f"one.group.{ns}.svc.cluster.local", "-type=srv")
    found(f"{address.replace('.', '-')}.{ns}.pod.cluster.local", address)
    found(cluster_ip, f"web.{ns}.svc.cluster.local")
    # Short names go through the search path that the kubelet writes.
    assert re.search(
        rf"search {ns}\.svc\.cluster\.local svc\.cluster\.local cluster\.local",
        it.sh("asker", "cat /etc/resolv.conf"),
    )
    assert f"({address})" in it.sh("asker", f"ping -c1 -W2 one.group.{ns}")
    hosts = it.sh("member", "cat /etc/hosts")
    assert re.search(rf"{re.escape(address)}\s+one\.group\.{ns}\.svc\.cluster\.local\s+one", hosts)
    assert it.sh("member", "hostname").strip() == "one"
    resolver = it.sh("own", "cat /etc/resolv.conf").split("\n")
    assert resolver[:3] == ["search a.example", "nameserver 192.0.2.3", "options ndots:2"]
