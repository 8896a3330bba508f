"""What writes of little rights would like to become: none of them gets further than its own right."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from tests.apiserver.authz.test_attacks import grant, rule

pytestmark = pytest.mark.asyncio(loop_scope="module")
DEFAULT = "/api/v1/namespaces/default"
CERTIFICATES = "certificates.k8s.io"
REQUESTS = f"/apis/{CERTIFICATES}/v1/certificatesigningrequests"
MASTERS = "system:masters"


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


@pytest.mark.parametrize("kind", ["merge", "json", "apply"])
@pytest.mark.parametrize("below", ["", "/status"])
async def test_a_node_is_not_another_by_the_name_in_its_body(api: Any, kind: str, below: str) -> None:
    for name in ("n1", "n2"):
        await api.create("/api/v1/nodes", {"metadata": {"name": name}})
    meta = {"name": "n1", "annotations": {"a": "b"}}
    bodies: dict[str, Any] = {
        "merge": {"metadata": meta},
        "json": [{"op": "add", "path": f"/metadata/{key}", "value": value} for key, value in meta.items()],
        "apply": {"apiVersion": "v1", "kind": "Node", "metadata": meta},
    }
    path = f"/api/v1/nodes/n2{below}?fieldManager=m"
    assert (await api.patch(path, bodies[kind], kind=kind, user="node")).status in (400, 403)
    for name in ("n1", "n2"):
        assert "annotations" not in (await api.get(f"/api/v1/nodes/{name}"))["metadata"]


def request_for(group: str, type_: _ASN1Type) -> dict[str, Any]:
    """Return a request for a client certificate of a group, written as a text of some type."""
    names = [
        x509.NameAttribute(NameOID.COMMON_NAME, "x"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "others"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, group, _type=type_),
    ]
    made = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
    pem = made.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    encoded = base64.b64encode(pem.public_bytes(serialization.Encoding.PEM)).decode()
    spec = {
        "request": encoded,
        "signerName": "kubernetes.io/kube-apiserver-client",
        "usages": ["client auth"],
    }
    meta = {"name": "r"}
    return {
        "apiVersion": f"{CERTIFICATES}/v1", "kind": "CertificateSigningRequest",
        "metadata": meta, "spec": spec,
    }  # fmt: skip


@pytest.mark.parametrize(
    "type_", ["UTF8String", "PrintableString", "T61String", "BMPString", "UniversalString"]
)
async def test_nobody_asks_to_be_a_master(api: Any, type_: str) -> None:
    await grant(api, rule("certificatesigningrequests", "create", "patch", group=CERTIFICATES))
    wanted = request_for(MASTERS, _ASN1Type[type_])
    answers = [
        await api("POST", REQUESTS, wanted, user="alice"),
        await api("POST", REQUESTS, {**wanted, "metadata": {"generateName": "r"}}, user="alice"),
        await api.patch(f"{REQUESTS}/r?fieldManager=m", wanted, kind="apply", user="alice"),
    ]
    assert [answer.status for answer in answers] == [403, 403, 403]
    assert all(MASTERS in answer.message for answer in answers)


@pytest.mark.parametrize("kind", ["merge", "strategic", "apply"])
@pytest.mark.parametrize("below", ["", "/status", "/approval"])
async def test_who_may_write_a_request_does_not_approve_it(api: Any, kind: str, below: str) -> None:
    rows = (
        "certificatesigningrequests",
        "certificatesigningrequests/status",
        "certificatesigningrequests/approval",
    )
    await grant(api, *(rule(row, "create", "patch", "update", group=CERTIFICATES) for row in rows))
    made = request_for("dev", _ASN1Type.UTF8String)
    claimed = {**made, "spec": {**made["spec"], "username": "admin", "groups": [MASTERS]}}
    assert (await api.create(REQUESTS, claimed, user="alice"))["spec"]["username"] == "alice"
    body: dict[str, Any] = {"status": {"conditions": [{"type": "Approved", "status": "True", "reason": "R"}]}}
    if kind == "apply":
        body |= {key: made[key] for key in ("apiVersion", "kind", "metadata")}
    await api.patch(f"{REQUESTS}/r{below}?fieldManager=m", body, kind=kind, user="alice")
    await api.patch(f"{REQUESTS}/r{below}", {"spec": {"username": "admin"}}, user="alice")
    found = await api.get(f"{REQUESTS}/r")
    assert (found["status"], found["spec"]["username"]) == ({}, "alice")
    assert MASTERS not in found["spec"]["groups"]


async def test_a_token_is_of_the_account_that_was_asked_for(api: Any) -> None:
    await api.create(f"{DEFAULT}/serviceaccounts", {"metadata": {"name": "mine"}})
    await grant(api, rule("serviceaccounts/token", "create", resourceNames=["mine"]))
    path = f"{DEFAULT}/serviceaccounts/mine/token"
    statuses = [
        (await api("POST", path, {"metadata": meta}, user="alice")).status
        for meta in ({}, {"name": "default"}, {"namespace": "kube-system"}, {})
    ]
    assert statuses == [201, 422, 400, 201]
    assert (await api("POST", f"{DEFAULT}/serviceaccounts/default/token", {}, user="alice")).status == 403


SUBRESOURCES = ("ephemeralcontainers", "resize", "status")


@pytest.mark.parametrize("below", SUBRESOURCES)
async def test_a_part_of_a_pod_is_no_way_to_the_rest(api: Any, make_pod: Any, below: str) -> None:
    before = await api.create(f"{DEFAULT}/pods", make_pod())
    await grant(api, rule(f"pods/{below}", "patch"))
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u", "controller": True}
    meta: dict[str, Any] = {"ownerReferences": [owner], "deletionTimestamp": "2026-01-01T00:00:00Z"}
    if below != "status":
        meta |= {"labels": {"a": "b"}, "finalizers": ["a/b"], "annotations": {"a": "b"}}
    more = {"nodeName": "n", "hostPID": True, "serviceAccountName": "admin"}
    answer = await api.patch(f"{DEFAULT}/pods/p/{below}", {"metadata": meta, "spec": more}, user="alice")
    assert answer.status in (200, 422), answer.raw
    after = await api.get(f"{DEFAULT}/pods/p")
    for one in (before, after):
        for key in ("resourceVersion", "managedFields"):
            one["metadata"].pop(key)
    assert (after["metadata"], after["spec"]) == (before["metadata"], before["spec"])


@pytest.mark.parametrize(
    ("query", "body", "left"),
    [
        ("?dryRun=All", None, 1),
        ("", {"dryRun": ["All"]}, 1),
        ("?dryRun=Odd", None, 1),
        ("?dryRun=All", {}, 0),
    ],
)
async def test_options_of_a_collection_are_those_of_its_body(
    api: Any, query: str, body: Any, left: int
) -> None:
    """A body takes the query's place, as upstream: it is the same for one object and for many."""
    meta = {"name": "a", "labels": {"own": "true"}}
    await api.create(f"{DEFAULT}/configmaps", {"metadata": meta})
    both = query + ("&" if query else "?") + "labelSelector=own"
    await api("DELETE", f"{DEFAULT}/configmaps{both}", body)
    assert len((await api.get(f"{DEFAULT}/configmaps?labelSelector=own"))["items"]) == left
