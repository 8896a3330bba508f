"""Which requests of kubelets are approved; what a signer refuses; when requests are cleared away."""

import base64

import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tiphys.apimachinery.clock import FakeClock, rfc3339
from tiphys.apimachinery.errors import Conflict
from tiphys.client.kinds import CERTIFICATE_SIGNING_REQUESTS
from tiphys.controllers.certificates.controller import (
    CertificateApprover,
    CertificateCleaner,
    CertificateSigner,
)
from tiphys.wire import pki

KUBELET = "kubernetes.io/kube-apiserver-client-kubelet"
REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
SELF = "Auto approving self kubelet client certificate after SubjectAccessReview."
OTHER = "Auto approving kubelet client certificate after SubjectAccessReview."
AUTHORITY = pki.make_ca("kubelets", FakeClock().now())
HOUR = 3600


def put(world, name="system:node:n1", group="system:nodes", user="system:node:n1", signer=KUBELET, **more):
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    pem = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(
        serialization.Encoding.PEM
    )
    spec = {
        "request": base64.b64encode(pem).decode(), "signerName": signer, "username": user, "groups": ["g"],
        "usages": ["digital signature", "client auth"], **more.pop("spec", {}),
    }  # fmt: skip
    return world.api.put(CERTIFICATE_SIGNING_REQUESTS, {"metadata": {"name": "r"}, "spec": spec, **more})


class Reviewer:
    """Answers who may what, and remembers what it was asked."""

    def __init__(self, world, *allowed):
        self.allowed = set(allowed)
        self.asked = []
        self._world = world
        world.api.reactors.append(self)

    def __call__(self, request):
        if request.path == REVIEWS:
            spec = orjson.loads(request.body)["spec"]
            self.asked.append(spec)
            allowed = spec["resourceAttributes"]["subresource"] in self.allowed
            self._world.api.discovery[REVIEWS] = {"status": {"allowed": allowed}}

    @property
    def subresources(self):
        return [one["resourceAttributes"]["subresource"] for one in self.asked]


def live(world):
    return world.api.get(CERTIFICATE_SIGNING_REQUESTS, "r")


def told(world):
    found = (live(world).get("status") or {}).get("conditions") or ()
    return [(one["type"], one["reason"], one["message"]) for one in found]


@pytest.mark.parametrize(
    ("user", "allowed", "asked", "message"),
    [
        ("system:node:n1", {"selfnodeclient"}, ["selfnodeclient"], SELF),
        ("system:node:n1", {"nodeclient"}, ["selfnodeclient", "nodeclient"], OTHER),
        ("bootstrap", {"nodeclient"}, ["nodeclient"], OTHER),
        ("bootstrap", {"selfnodeclient"}, ["nodeclient"], None),
        ("bootstrap", set(), ["nodeclient"], None),
    ],
    ids=["its own", "its own, as anybody's", "another's", "another's as its own", "nobody's"],
)
async def test_who_may(world, user, allowed, asked, message):
    put(world, user=user)
    reviewer = Reviewer(world, *allowed)
    async with world.running(CertificateApprover):
        assert told(world) == ([("Approved", "AutoApproved", message)] if message else [])
        assert reviewer.subresources == asked
        (first, *_) = reviewer.asked
        assert (first["user"], first["groups"]) == (user, ["g"])
        assert "uid" not in first
        attributes = first["resourceAttributes"]
        assert (attributes["verb"], attributes["resource"]) == ("create", "certificatesigningrequests")


async def test_a_right_may_be_given_later(world):
    """The binding that lets nodes join is written while their first requests wait already."""
    put(world, user="bootstrap")
    reviewer = Reviewer(world)
    async with world.running(CertificateApprover):
        reviewer.allowed.add("nodeclient")
        await world.advance(60)
        assert told(world) == [("Approved", "AutoApproved", OTHER)]
        seen = len(reviewer.asked)
        await world.advance(600)
        assert len(reviewer.asked) == seen, "it is answered"


@pytest.mark.parametrize(
    "change",
    [
        {"name": "jane"},
        {"group": "system:masters"},
        {"signer": "example.com/mine"},
        {"spec": {"usages": ["server auth"]}},
        {"spec": {"request": base64.b64encode(b"no request").decode()}},
        {"status": {"conditions": [{"type": "Denied", "status": "True"}]}},
        {"status": {"certificate": "AAAA"}},
    ],
    ids=["no node", "another group", "another signer", "other usages", "not readable", "denied", "answered"],
)
async def test_who_is_not_even_asked_after(world, change):
    before = put(world, **change)
    reviewer = Reviewer(world, "selfnodeclient", "nodeclient")
    async with world.running(CertificateApprover):
        await world.advance(600)
        assert reviewer.asked == []
        assert live(world) == before


async def test_an_answer_that_lost_a_race_is_written_after_all(world):
    put(world)
    Reviewer(world, "selfnodeclient")
    lost = []

    def react(request):
        if request.path.endswith("/r/approval") and not lost:
            lost.append(request)
            return Conflict("changed meanwhile")
        return None

    world.api.reactors.append(react)
    async with world.running(CertificateApprover):
        assert lost
        assert told(world) == [("Approved", "AutoApproved", SELF)]


APPROVED = {"conditions": [{"type": "Approved", "status": "True", "reason": "A", "message": "b"}]}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({}, None),
        ({"group": "system:masters"}, "subject organization is not system:nodes"),
        ({"spec": {"usages": ["server auth"]}}, "usages did not match"),
        ({"spec": {"request": base64.b64encode(b"no request").decode()}}, ""),
    ],
    ids=["good", "another group", "other usages", "not readable"],
)
async def test_what_a_signer_refuses(make_world, change, fault):
    pair = (AUTHORITY.certificate.decode(), AUTHORITY.key.decode())
    world = make_world(signing_certificate_pem=pair[0], signing_key_pem=pair[1])
    put(world, status=APPROVED, **change)
    async with world.running(CertificateSigner):
        status = live(world)["status"]
        assert ("certificate" in status) is (fault is None)
        failed = [one for one in told(world) if one[0] == "Failed"]
        assert [one[1] for one in failed] == ([] if fault is None else ["SignerValidationFailure"])
        if failed:
            assert failed[0][2].startswith(fault)
            assert failed[0][2]
        calls = len(world.api.writes())
        await world.advance(600)
        assert len(world.api.writes()) == calls, "said once"


@pytest.mark.parametrize(
    ("answer", "kept_s"),
    [("", 24 * HOUR), ("Approved", HOUR), ("Denied", HOUR)],
)
async def test_when_a_request_is_cleared(world, answer, kept_s):
    told = {"type": answer, "status": "True", "lastUpdateTime": rfc3339(world.clock.now())}
    put(world, status={"conditions": [told]} if answer else {})
    async with world.running(CertificateCleaner):
        await world.advance(kept_s - 60)
        assert live(world) is not None
        await world.advance(120)
        assert live(world) is None
