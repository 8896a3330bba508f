"""Certificates are made, say who they are for, and the CA is kept."""

from __future__ import annotations

from base64 import b64decode
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from tiphys.client.kubeconfig import load
from tiphys.ctl.credentials import prepare
from tiphys.ctl.layout import Cluster

NOW = datetime(2026, 1, 1, tzinfo=UTC)
pytestmark = pytest.mark.slow


def test_prepare(tmp_path: Path) -> None:
    cluster = Cluster("default", 0, tmp_path, 2)
    prepare(cluster, NOW)
    serving = x509.load_pem_x509_certificate((cluster.pki / "apiserver.crt").read_bytes())
    names = serving.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {str(ip) for ip in names.get_values_for_type(x509.IPAddress)} == {
        "127.0.0.1",
        "172.29.0.1",
        "10.64.0.1",
    }
    assert load(cluster.kubeconfig).server == "https://127.0.0.1:6443"
    assert load(cluster.node(2).folder / "pki" / "kubelet.conf").server == "https://172.29.0.1:6443"
    kept = [(cluster.pki / name).read_bytes() for name in ("ca.crt", "ca.key", "sa.key")]
    prepare(cluster, NOW)
    assert [(cluster.pki / name).read_bytes() for name in ("ca.crt", "ca.key", "sa.key")] == kept
    user = yaml.load(cluster.kubeconfig.read_text(), yaml.CSafeLoader)["users"][0]["user"]
    assert b64decode(user["client-key-data"]).startswith(b"-----BEGIN EC PRIVATE KEY-----")
    for secret in (cluster.kubeconfig, cluster.pki / "ca.key", cluster.pki / "apiserver.key"):
        assert secret.stat().st_mode & 0o77 == 0
