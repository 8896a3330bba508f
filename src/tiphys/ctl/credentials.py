"""Certificates and kubeconfigs of a cluster made by ``up``.

The CA and the key of service accounts are made once and kept; what they sign is made afresh by every ``up``:
nothing runs out on a cluster that is started now and then.
"""

from __future__ import annotations

import base64
from datetime import datetime
from pathlib import Path

import yaml

from tiphys.ctl.layout import DOMAIN, Cluster, Node
from tiphys.wire.pki import (
    KeyPair,
    issue_client,
    issue_server,
    make_ca,
    make_signing_key,
    public_pem,
    write_private,
)


def prepare(cluster: Cluster, now: datetime) -> None:
    """Make every file that the components need. Raises OSError."""
    pki = cluster.pki
    ca = _authority(pki, now)
    if not (pki / "sa.key").exists():
        write_private(pki / "sa.key", make_signing_key())
    (pki / "sa.pub").write_bytes(public_pem((pki / "sa.key").read_bytes()))
    hosts = [
        "127.0.0.1", "localhost", cluster.host_ip, cluster.kubernetes_ip, "kubernetes", "kubernetes.default",
        "kubernetes.default.svc", f"kubernetes.default.svc.{DOMAIN}",
    ]  # fmt: skip
    _write(pki, "apiserver", issue_server(ca, "kube-apiserver", hosts, now))
    _write(
        pki,
        "apiserver-kubelet-client",
        issue_client(ca, "kube-apiserver-kubelet-client", ["system:masters"], now),
    )
    host, name = cluster.api_url, cluster.name
    _kubeconfig(
        cluster.kubeconfig, name, host, ca, issue_client(ca, "kubernetes-admin", ["system:masters"], now)
    )
    for user, file in (
        ("system:kube-controller-manager", "controller-manager.conf"),
        ("system:kube-scheduler", "scheduler.conf"),
    ):
        _kubeconfig(pki / file, name, host, ca, issue_client(ca, user, [], now))
    for node in cluster.nodes:
        _node(cluster, node, ca, now)


def _authority(pki: Path, now: datetime) -> KeyPair:
    certificate, key = pki / "ca.crt", pki / "ca.key"
    if not (certificate.exists() and key.exists()):
        make_ca("kubernetes", now).write(certificate, key)
    return KeyPair.read(certificate, key)


def _node(cluster: Cluster, node: Node, ca: KeyPair, now: datetime) -> None:
    _write(
        node.folder / "pki",
        "kubelet",
        issue_server(ca, f"system:node:{node.name}", [node.name, node.ip], now),
    )
    for user, groups, file in (
        (f"system:node:{node.name}", ["system:nodes"], "kubelet.conf"),
        ("system:kube-proxy", [], "proxy.conf"),
        (f"tiphys:dns:{node.name}", ["tiphys:dns"], "dns.conf"),
    ):
        pair = issue_client(ca, user, groups, now)
        _kubeconfig(node.folder / "pki" / file, cluster.name, cluster.node_api_url, ca, pair)


def _write(folder: Path, name: str, pair: KeyPair) -> None:
    pair.write(folder / f"{name}.crt", folder / f"{name}.key")


def _kubeconfig(path: Path, cluster: str, server: str, ca: KeyPair, user: KeyPair) -> None:
    context = f"tiphys-{cluster}"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": context,
                "cluster": {"server": server, "certificate-authority-data": _encoded(ca.certificate)},
            }
        ],
        "users": [
            {
                "name": context,
                "user": {
                    "client-certificate-data": _encoded(user.certificate),
                    "client-key-data": _encoded(user.key),
                },
            }
        ],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
        "current-context": context,
    }
    write_private(path, yaml.safe_dump(config, sort_keys=False).encode())


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()
