"""Certificates that were asked for with a duration: which are counted, and which as honored."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tiphys.apiserver.observe.issued_counts import is_honored
from tiphys.wire import pki

CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
DAY_S = 86400
NOW = datetime(2026, 1, 1, tzinfo=UTC)
CA = pki.make_ca("ca", NOW)
KUBELET = "kubernetes.io/kube-apiserver-client"


def encoded(pem: bytes) -> str:
    return base64.b64encode(pem).decode()


ASKED = encoded(
    x509.CertificateSigningRequestBuilder()
    .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "u")]))
    .sign(key := ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    .public_bytes(serialization.Encoding.PEM)
)
ISSUED = encoded(pki.issue_client(CA, "u", [], NOW, days=2).certificate)


@pytest.mark.parametrize(
    ("wanted_s", "lasts_s", "honored"),
    [
        (3600, 3600, True),
        (3600, 3240, True),
        (3600, 3960, True),
        (1000, 651, True),
        (1000, 650, False),
        (1000, 1349, True),
        (1000, 1350, False),
        (600, 600, True),
        (600, 929, True),
        (600, 930, False),
        (600, 270, False),
        (2 * DAY_S, 2 * DAY_S + 300, True),
        (100 * DAY_S, 95 * DAY_S, True),
        (100 * DAY_S, 94 * DAY_S, False),
    ],
)
def test_about_as_long_as_was_asked_for(wanted_s: float, lasts_s: float, *, honored: bool) -> None:
    assert is_honored(wanted_s, lasts_s) == honored


async def test_what_is_counted(api: Any) -> None:
    async def sign(name: str, issued: str, signer: str = KUBELET, dry: str = "", **spec: Any) -> None:
        body = {"signerName": signer, "request": ASKED, "usages": ["client auth"], **spec}
        made = await api.create(CSRS, {"metadata": {"name": name}, "spec": body})
        condition = {"type": "Approved", "status": "True", "reason": "r", "message": "m"}
        made["status"] = {"conditions": [condition]}
        made = (await api("PUT", f"{CSRS}/{name}/approval", made)).json
        made["status"]["certificate"] = issued
        assert (await api("PUT", f"{CSRS}/{name}/status{dry}", made)).status == 200
        if not dry:
            body = {"metadata": {"annotations": {"a": "b"}}, "status": {"conditions": None}}
            await api("PATCH", f"{CSRS}/{name}/status", body, content_type="application/merge-patch+json")

    await sign("says-nothing", ISSUED)
    await sign("tried", ISSUED, dry="?dryRun=All", expirationSeconds=2 * DAY_S)
    await sign("honored", ISSUED, expirationSeconds=2 * DAY_S)
    await sign("longer", ISSUED, expirationSeconds=3 * DAY_S)
    await sign("elsewhere", ISSUED, signer="example.com/s", expirationSeconds=2 * DAY_S)
    text = (await api("GET", "/metrics")).raw.decode()
    prefix = "apiserver_certificates_registry_csr_"
    assert [line.removeprefix(prefix) for line in text.splitlines() if line.startswith(prefix)] == [
        f'honored_duration_total{{signerName="{KUBELET}"}} 1',
        'honored_duration_total{signerName="other"} 1',
        f'requested_duration_total{{signerName="{KUBELET}"}} 2',
        'requested_duration_total{signerName="other"} 1',
    ]
