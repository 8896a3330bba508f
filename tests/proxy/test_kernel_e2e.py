"""The rules in a real kernel: a namespace of its own, real sockets, nothing outside of it touched."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from tiphys.proxy.diff import transaction
from tiphys.proxy.endpoints import NodeFacts
from tiphys.proxy.rules import ruleset

pytestmark = pytest.mark.e2e

NODE = NodeFacts("n1", ("172.29.99.2",), "", ("10.128.0.0/16",))

SCRIPT = """
import socket, subprocess, sys, threading
def sh(*argv, data=None):
    subprocess.run(argv, input=data, text=True, check=True)
sh("ip", "link", "set", "lo", "up")
for address in ("10.128.1.5/32", "10.128.1.6/32", "172.29.99.2/32"):
    sh("ip", "addr", "add", address, "dev", "lo")
sh("ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1")
sh("ip", "link", "set", "v0", "up"); sh("ip", "link", "set", "v1", "up")
sh("ip", "route", "add", "10.64.0.0/16", "dev", "v0", "src", "172.29.99.2")
for part in sys.stdin.read().split("=====\\n"):
    sh("nft", "-f", "-", data=part)
def serve(address):
    listener = socket.create_server((address, 8080))
    def loop():
        while True:
            peer, _ = listener.accept()
            peer.sendall(address.encode()); peer.close()
    threading.Thread(target=loop, daemon=True).start()
for address in ("10.128.1.5", "10.128.1.6"):
    serve(address)
def ask(address, port):
    try:
        with socket.create_connection((address, port), timeout=5) as peer:
            return peer.recv(99).decode()
    except ConnectionRefusedError:
        return "refused"
print(sorted({ask("10.64.0.20", 80) for _ in range(40)}))
print(sorted({ask("172.29.99.2", 30080) for _ in range(40)}))
print(len({ask("10.64.0.23", 80) for _ in range(10)}))
print(ask("10.64.0.21", 80), ask("10.64.0.20", 81))
"""

STANDING = """
import socket, subprocess, sys
def sh(*argv, data=None):
    subprocess.run(argv, input=data, text=True, check=True)
sh("ip", "link", "set", "lo", "up")
sh("ip", "addr", "add", "172.29.99.2/32", "dev", "lo")
listener = socket.create_server(("172.29.99.2", 8080))
client = socket.create_connection(("172.29.99.2", 8080), timeout=5)
server, _ = listener.accept()
server.settimeout(5)
sh("nft", "-f", "-", data=sys.stdin.read())
client.sendall(b"ask")
print(server.recv(9).decode())
server.sendall(b"answer")
print(client.recv(9).decode())
"""


SIXTH = """
import socket, subprocess, sys, threading
def sh(*argv, data=None):
    subprocess.run(argv, input=data, text=True, check=True)
sh("ip", "link", "set", "lo", "up")
for address in ("fd00:1::5/128", "fd00:29::2/128"):
    sh("ip", "addr", "add", address, "dev", "lo", "nodad")
sh("ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1")
sh("ip", "link", "set", "v0", "up"); sh("ip", "link", "set", "v1", "up")
sh("ip", "route", "add", "fd00:64::/112", "dev", "v0", "src", "fd00:29::2")
sh("nft", "-f", "-", data=sys.stdin.read())
listener = socket.create_server(("fd00:1::5", 8080), family=socket.AF_INET6)
for where in (("fd00:64::20", 80), ("fd00:29::2", 30080), ("fd00:64::21", 80)):
    try:
        with socket.create_connection(where, timeout=5):
            print(listener.accept()[0].getsockname()[0])
    except ConnectionRefusedError:
        print("refused")
"""


def apart(script: str, given: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a network of its own, with what it is given to read."""
    argv = ["unshare", "--net", sys.executable, "-c", script]
    return subprocess.run(argv, input=given, capture_output=True, text=True, timeout=60, check=False)


def test_connections_over_the_sixth_version(service: Any, endpoint_slice: Any) -> None:
    ports = {"type": "NodePort", "ports": [{"name": "http", "port": 80, "nodePort": 30080}]}
    services = [service(clusterIP="fd00:64::20", **ports), service("gone", clusterIP="fd00:64::21")]
    node = NodeFacts("n1", ("172.29.99.2", "fd00:29::2"), "", ("10.128.0.0/16", "fd00:1::/64"))
    table = ruleset(services, [endpoint_slice("fd00:1::5", family="IPv6")], node, "IPv6")
    done = apart(SIXTH, "\n".join(transaction(None, table)) + "\n")
    assert done.stdout.split() == ["fd00:1::5", "fd00:1::5", "refused"], done.stderr


def test_a_connection_of_the_node_with_itself_outlives_the_first_rules(
    service: Any, endpoint_slice: Any
) -> None:
    """So are components beside an API server joined to it, and the server is an endpoint of a Service."""
    table = ruleset([service()], [endpoint_slice("172.29.99.2")], NODE)
    done = apart(STANDING, "\n".join(transaction(None, table)) + "\n")
    assert done.stdout.split() == ["ask", "answer"], done.stderr


@pytest.mark.parametrize(
    "node_ports", [("172.29.99.2",), ("172.29.0.0/16", "172.29.99.0/24"), ("0.0.0.0/0", "10.9.0.0/24")]
)
def test_connections(service: Any, endpoint_slice: Any, node_ports: tuple[str, ...]) -> None:
    node = replace(NODE, addresses=node_ports)
    ports = {"type": "NodePort", "ports": [{"name": "http", "port": 80, "nodePort": 30080}]}
    services = [
        service(**ports),
        service("gone", clusterIP="10.64.0.21"),
        service("sticky", clusterIP="10.64.0.23", sessionAffinity="ClientIP"),
    ]
    empty = ruleset(
        [service("old", clusterIP="10.64.0.30")], [endpoint_slice("10.128.1.9", service="old")], node
    )
    slices = [endpoint_slice("10.128.1.5", "10.128.1.6", service=name) for name in ("web", "sticky")]
    table = ruleset(services, slices, node)
    sparse = ruleset(services[:1], slices[:1], node)
    steps = [
        transaction(None, empty),
        transaction(empty, table),
        transaction(table, sparse),
        transaction(sparse, table),
    ]
    done = apart(SCRIPT, "=====\n".join("\n".join(step) + "\n" for step in steps))
    both = "['10.128.1.5', '10.128.1.6']"
    assert done.stdout.splitlines() == [both, both, "1", "refused refused"], done.stderr
