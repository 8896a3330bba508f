"""The signer's authorities: one for all signers, or one of a signer's own; how long certificates last."""

import base64
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tiphys.apimachinery.clock import FakeClock
from tiphys.client.kinds import CERTIFICATE_SIGNING_REQUESTS
from tiphys.controllers.certificates.controller import CertificateSigner
from tiphys.wire import pki

CLIENT = "kubernetes.io/kube-apiserver-client"
LEGACY = "kubernetes.io/legacy-unknown"


def approved(signer):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "jason")])
    signed = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": "r"},
        "spec": {
            "request": base64.b64encode(signed.public_bytes(serialization.Encoding.PEM)).decode(),
            "signerName": signer,
            "usages": ["digital signature", "client auth"],
        },
        "status": {"conditions": [{"type": "Approved", "status": "True", "reason": "A", "message": "b"}]},
    }


USUAL, OWN = (pki.make_ca(name, FakeClock().now()) for name in ("usual", "own"))


def pair(authority):
    return authority.certificate.decode(), authority.key.decode()


@pytest.mark.parametrize(
    ("signer", "usual", "own", "issuer"),
    [
        pytest.param(CLIENT, True, {}, "CN=usual", id="one for all"),
        pytest.param(CLIENT, True, {CLIENT: pair(OWN)}, "CN=own", id="a signer's own goes first"),
        pytest.param(LEGACY, True, {CLIENT: pair(OWN)}, "CN=usual", id="another's does not"),
        pytest.param(LEGACY, False, {CLIENT: pair(OWN)}, None, id="none"),
    ],
)
async def test_who_signs(make_world, signer, usual, own, issuer):
    certificate, key = pair(USUAL) if usual else ("", "")
    world = make_world(
        signing_certificate_pem=certificate, signing_key_pem=key, signers=own, signing_duration_s=3600.0
    )
    world.api.put(CERTIFICATE_SIGNING_REQUESTS, approved(signer))
    async with world.running(CertificateSigner):
        answer = world.api.get(CERTIFICATE_SIGNING_REQUESTS, "r")["status"].get("certificate")
    if issuer is None:
        assert answer is None
        return
    found = x509.load_pem_x509_certificate(base64.b64decode(answer))
    assert found.issuer.rfc4514_string() == issuer
    assert found.not_valid_after_utc - world.clock.now() <= timedelta(hours=1)


def test_keys_are_not_shown(make_world):
    world = make_world(signers={CLIENT: pair(OWN)})
    assert "PRIVATE" not in repr(world.context.options)
