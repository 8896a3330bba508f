from datetime import UTC, datetime, timedelta

import pytest

from tiphys.apimachinery.clock import rfc3339
from tiphys.controllers.certificates.plan import (
    CLIENT,
    KUBELET_CLIENT,
    KUBELET_SERVING,
    LEGACY,
    MAX_LIFETIME,
    Asked,
    fault,
    left_s,
    lifetime,
    needs_signature,
)

NOW = datetime(2026, 1, 2, tzinfo=UTC)
NODE = {"common_name": "system:node:n", "organizations": ["system:nodes"]}
TLS = ["digital signature", "key encipherment"]


def asked(common_name="u", organizations=(), dns_names=(), addresses=(), emails=(), uris=()):
    return Asked(common_name, list(organizations), list(dns_names), list(addresses), list(emails), list(uris))


@pytest.mark.parametrize(
    ("case", "signer", "usages", "names", "expected"),
    [
        ("client", CLIENT, [*TLS, "client auth"], {}, ""),
        ("client without", CLIENT, TLS, {}, "missing required usage for client certificate: client auth"),
        (
            "client too much",
            CLIENT,
            ["client auth", "server auth"],
            {},
            "invalid usage for client certificate: server auth",
        ),
        ("kubelet", KUBELET_CLIENT, [*TLS, "client auth"], NODE, ""),
        (
            "kubelet of no node",
            KUBELET_CLIENT,
            [*TLS, "client auth"],
            {**NODE, "common_name": "me"},
            "subject common name does not begin with system:node:",
        ),
        (
            "kubelet with names",
            KUBELET_CLIENT,
            ["client auth"],
            {**NODE, "dns_names": ["a"]},
            "DNS subjectAltNames are not allowed",
        ),
        ("serving", KUBELET_SERVING, [*TLS, "server auth"], {**NODE, "addresses": ["10.0.0.1"]}, ""),
        (
            "serving nothing",
            KUBELET_SERVING,
            ["server auth"],
            NODE,
            "DNS or IP subjectAltName is required",
        ),
        (
            "serving a group of its own",
            KUBELET_SERVING,
            ["server auth"],
            {"dns_names": ["a"]},
            "subject organization is not system:nodes",
        ),
        ("kubelet without RSA", KUBELET_CLIENT, ["digital signature", "client auth"], NODE, ""),
        (
            "kubelet with too few usages",
            KUBELET_CLIENT,
            ["client auth"],
            NODE,
            "usages did not match [client auth digital signature key encipherment]",
        ),
        (
            "serving with an address for mail",
            KUBELET_SERVING,
            [*TLS, "server auth"],
            {**NODE, "dns_names": ["a"], "emails": ["a@b"]},
            "email subjectAltNames are not allowed",
        ),
        (
            "serving with a URI",
            KUBELET_SERVING,
            [*TLS, "server auth"],
            {**NODE, "dns_names": ["a"], "uris": ["spiffe://a"]},
            "URI subjectAltNames are not allowed",
        ),
        (
            "serving for other use",
            KUBELET_SERVING,
            [*TLS, "client auth"],
            {**NODE, "dns_names": ["a"]},
            "usages did not match [digital signature key encipherment server auth]",
        ),
        ("legacy", LEGACY, ["code signing"], {}, ""),
    ],
)
def test_fault(case, signer, usages, names, expected):
    assert fault(signer, usages, asked(**names)) == expected, case


def request(signer=CLIENT, conditions=(), certificate=None, **spec):
    return {
        "metadata": {"name": "r", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"signerName": signer, **spec},
        "status": {"conditions": [{"type": item} for item in conditions], "certificate": certificate},
    }


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (request(), False),
        (request(conditions=["Approved"]), True),
        (request(conditions=["Approved", "Denied"]), False),
        (request(conditions=["Approved", "Failed"]), False),
        (request(conditions=["Approved"], certificate="x"), False),
        (request("boats.example/argo", ["Approved"]), False),
    ],
)
def test_needs_signature(obj, expected):
    assert needs_signature(obj) is expected


def test_lifetime_is_bounded():
    assert lifetime(request()) == MAX_LIFETIME
    assert lifetime(request(expirationSeconds=3600)) == timedelta(hours=1)
    assert lifetime(request(expirationSeconds=1)) == timedelta(minutes=10)
    assert lifetime(request(expirationSeconds=10**9)) == MAX_LIFETIME


def old(*conditions, created="2026-01-01T23:59:00Z", certificate=""):
    made = request()
    made["metadata"]["creationTimestamp"] = created
    told = [
        {"type": type_, "lastUpdateTime": rfc3339(NOW - timedelta(minutes=ago))} for type_, ago in conditions
    ]
    made["status"] = {"conditions": told, **({"certificate": certificate} if certificate else {})}
    return made


@pytest.mark.parametrize(
    ("asked_for", "ends_in", "left"),
    [
        (old(created="2026-01-01T00:00:00Z"), None, 0),
        (old(created="2026-01-01T01:00:00Z"), None, 3600),
        (old(("Denied", 70), created="2025-01-01T00:00:00Z"), None, -600),
        (old(("Denied", 50), created="2025-01-01T00:00:00Z"), None, 600),
        (old(("Failed", 50), created="2025-01-01T00:00:00Z"), None, 600),
        (old(("Approved", 120), ("Failed", 50)), None, 600),
        (old(("Approved", 120), ("Failed", 70)), None, -600),
        (old(("Approved", 50), certificate="x"), timedelta(days=1), 600),
        (old(("Approved", 70), certificate="x"), timedelta(days=1), -600),
        (old(("Approved", 1), certificate="x"), timedelta(seconds=-1), -1),
    ],
)
def test_old_requests_go(asked_for, ends_in, left):
    assert left_s(asked_for, NOW, None if ends_in is None else NOW + ends_in) == left


def test_an_answer_of_no_time_is_kept():
    answered = request()
    answered["status"]["conditions"] = [{"type": "Denied"}]
    assert left_s(answered, NOW) is None
