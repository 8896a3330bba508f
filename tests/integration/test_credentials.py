"""Certificates by request, and tokens in Secrets: what they are good for."""

import asyncio
import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tiphys.apimachinery.clock import RealClock
from tiphys.client.informer import InformerSet
from tiphys.client.kinds import (
    CERTIFICATE_SIGNING_REQUESTS,
    SECRETS,
    SERVICE_ACCOUNTS,
    TOKEN_REVIEWS,
)
from tiphys.controllers.certificates.controller import CertificateSigner
from tiphys.controllers.context import Context, ControllerOptions
from tiphys.testing import Cluster
from tiphys.wire import pki

pytestmark = pytest.mark.slow


def request(name, user, signer="kubernetes.io/kube-apiserver-client", groups=()):
    key = ec.generate_private_key(ec.SECP256R1())
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    subject = x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, user)])
    signed = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    pem = signed.public_bytes(serialization.Encoding.PEM)
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": {
            "request": base64.b64encode(pem).decode(),
            "signerName": signer,
            "usages": ["digital signature", "client auth"],
            "expirationSeconds": 3600,
        },
    }


async def test_what_comes_with_a_verdict_stays():
    """Annotations that are written through ``approval`` and ``status``, as clients do in one patch."""
    async with Cluster(nodes=0, controllers=False, scheduler=False) as cluster:
        client, gvr = cluster.client, CERTIFICATE_SIGNING_REQUESTS
        made = await client.create(gvr, request("r", "jason", groups=["crew"]))
        condition = {"type": "ApprovalPatch", "status": "True", "reason": "e2e"}
        patch = {
            "metadata": {"annotations": {"patchedapproval": "true"}},
            "spec": {"signerName": "other.example/signer"},
            "status": {"conditions": [condition]},
        }
        patched = await client.patch(gvr, "r", "", patch, subresource="approval")
        assert [item["type"] for item in patched["status"]["conditions"]] == ["ApprovalPatch"]
        assert patched["metadata"]["annotations"] == {"patchedapproval": "true"}
        assert patched["spec"] == made["spec"]
        patched["metadata"]["annotations"]["updatedapproval"] = "true"
        patched["status"]["conditions"].append({**condition, "type": "ApprovalUpdate"})
        updated = await client.update(gvr, patched, "approval")
        assert set(updated["metadata"]["annotations"]) == {"patchedapproval", "updatedapproval"}
        assert len(updated["status"]["conditions"]) == 2
        told = {"metadata": {"annotations": {"patchedstatus": "true"}}}
        told = await client.patch(gvr, "r", "", told, subresource="status")
        assert told["metadata"]["annotations"]["patchedstatus"] == "true"
        assert told["metadata"]["uid"] == made["metadata"]["uid"]


async def test_an_approved_request_is_signed():
    authority = pki.make_ca("argo", RealClock().now())
    options = ControllerOptions(
        signing_certificate_pem=authority.certificate.decode(), signing_key_pem=authority.key.decode()
    )
    assert authority.key.decode() not in repr(options)
    async with Cluster(nodes=0, scheduler=False) as cluster:
        client = cluster.client
        informers = InformerSet(client)
        signer = CertificateSigner(Context(client, informers, options, RealClock()))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(informers.run()), group.create_task(signer.run())]
            stored = await client.create(CERTIFICATE_SIGNING_REQUESTS, request("r", "jason", groups=["crew"]))
            condition = {"type": "Approved", "status": "True", "reason": "Me", "message": "fine"}
            stored["status"] = {"conditions": [condition]}
            await client.update(CERTIFICATE_SIGNING_REQUESTS, stored, "approval")
            answered = await cluster.wait_for(
                CERTIFICATE_SIGNING_REQUESTS,
                "r",
                "",
                lambda item: bool((item.get("status") or {}).get("certificate")),
            )
            for task in tasks:
                task.cancel()
    certificate = x509.load_pem_x509_certificate(base64.b64decode(answered["status"]["certificate"]))
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate))
    assert certificate.subject.rfc4514_string() == "CN=jason,O=crew"


async def test_a_kubelets_own_request_is_approved():
    async with Cluster(nodes=0, scheduler=False) as cluster:
        signer = "kubernetes.io/kube-apiserver-client-kubelet"
        wanted = request("r", "system:node:n", signer, ["system:nodes"])
        await cluster.client.create(CERTIFICATE_SIGNING_REQUESTS, wanted)
        approved = await cluster.wait_for(
            CERTIFICATE_SIGNING_REQUESTS,
            "r",
            "",
            lambda item: bool((item.get("status") or {}).get("conditions")),
        )
        condition = approved["status"]["conditions"][0]
        assert (condition["type"], condition["reason"]) == ("Approved", "AutoApproved")


async def test_a_token_secret_is_filled_and_dies_with_its_account():
    async with Cluster(nodes=0, scheduler=False) as cluster:
        account = {"apiVersion": "v1", "kind": "ServiceAccount"}
        account["metadata"] = {"name": "jason", "namespace": "default"}
        await cluster.client.create(SERVICE_ACCOUNTS, account)
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/service-account-token",
            "metadata": {
                "name": "t",
                "namespace": "default",
                "annotations": {"kubernetes.io/service-account.name": "jason"},
            },
        }
        await cluster.client.create(SECRETS, secret)
        filled = await cluster.wait_for(
            SECRETS, "t", "default", lambda item: bool((item.get("data") or {}).get("token"))
        )
        token = base64.b64decode(filled["data"]["token"]).decode()
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}}
        answer = await cluster.client.create(TOKEN_REVIEWS, {**review, "spec": {"token": token}})
        assert answer["status"]["user"]["username"] == "system:serviceaccount:default:jason"
        await cluster.client.delete(SERVICE_ACCOUNTS, "jason", "default")
        await cluster.wait_for(SECRETS, "t", "default", lambda item: item is None)
