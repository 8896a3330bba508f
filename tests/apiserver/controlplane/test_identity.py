"""The lease of an API server: its name and labels, that it is renewed, and when leases of others go.

Source: upstream's integration test of API server identity and its test of the garbage collector.
"""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tiphys.apimachinery.clock import rfc3339_micro
from tiphys.apimachinery.featuregates import resolve
from tiphys.apiserver.controlplane.identity import LABEL, expired, hash_of, heartbeat, identity_of
from tiphys.storage.memory import MemoryStore

LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
OURS = "?labelSelector=apiserver.kubernetes.io/identity%3Dkube-apiserver"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
OFF = {"APIServerIdentity": False, "UnknownVersionInteroperabilityProxy": False}
"""The second needs the first."""


def test_names() -> None:
    assert identity_of("kind-control-plane") == "apiserver-c4vwjftbvpc5os2vvzle4qg27a"
    assert identity_of("a") != identity_of("b")
    assert hash_of("a") == "sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"


async def test_a_server_keeps_a_lease(serving: Any) -> None:
    store = MemoryStore()
    async with serving(store) as api:
        (lease,) = (await api.get(LEASES + OURS))["items"]
        assert lease["metadata"]["name"] == identity_of(socket.gethostname())
        assert lease["metadata"]["labels"] == {
            LABEL: "kube-apiserver", "kubernetes.io/hostname": socket.gethostname()
        }  # fmt: skip
        assert lease["spec"]["leaseDurationSeconds"] == 3600
        assert lease["spec"]["holderIdentity"].startswith(lease["metadata"]["name"] + "_")
        api.clock.advance(10)
        await api.server._identity.renew()
        (renewed,) = (await api.get(LEASES + OURS))["items"]
        assert renewed["spec"] == {**lease["spec"], "renewTime": rfc3339_micro(api.clock.now())}
        assert renewed["metadata"]["uid"] == lease["metadata"]["uid"]


async def test_a_server_without_the_feature_keeps_none(serving: Any) -> None:
    async with serving(bare=True, feature_gates=resolve(OFF)) as api:
        assert (await api.get(LEASES))["items"] == []
        assert b"identity-lease" not in (await api("GET", "/readyz?verbose")).raw


def lease(**spec: Any) -> dict[str, Any]:
    return {
        "spec": {"holderIdentity": "x", "leaseDurationSeconds": 10, "renewTime": rfc3339_micro(NOW), **spec}
    }


@pytest.mark.parametrize(
    ("spec", "seconds", "gone"),
    [
        ({}, 0, False), ({}, 10, False), ({}, 11, True), ({"renewTime": None}, 0, True),
        ({"leaseDurationSeconds": None}, 0, True), ({"leaseDurationSeconds": 0}, 1, True),
    ],
)  # fmt: skip
def test_when_a_lease_has_expired(spec: dict[str, Any], seconds: int, gone: bool) -> None:
    assert expired(lease(**spec), NOW + timedelta(seconds=seconds)) is gone


def test_what_others_wrote_into_a_lease_stays() -> None:
    first = heartbeat(None, "a", "me", NOW)
    first["metadata"]["labels"]["x"] = "y"
    again = heartbeat({**first, "metadata": {**first["metadata"], "resourceVersion": "7"}}, "b", "you", NOW)
    assert again["metadata"]["labels"] == {"x": "y", LABEL: "kube-apiserver", "kubernetes.io/hostname": "b"}
    assert again["spec"]["holderIdentity"] == "you"
    assert "resourceVersion" not in again["metadata"]


@pytest.mark.parametrize(
    ("namespace", "label", "age_s", "kept"),
    [
        ("kube-system", "kube-apiserver", 7200, False),
        ("kube-system", "kube-apiserver", 120, True),
        ("kube-system", "kube-controller-manager", 7200, True),
        ("kube-system", None, 7200, True),
        ("default", "kube-apiserver", 7200, True),
    ],
    ids=["expired", "fresh", "another component's", "nobody's", "in a user's namespace"],
)
async def test_leases_of_dead_servers_go(
    api: Any, namespace: str, label: str | None, age_s: int, kept: bool
) -> None:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    renewed = rfc3339_micro(api.clock.now() - timedelta(seconds=age_s))
    meta = {"name": "test", "labels": {LABEL: label} if label else {}}
    spec = {"holderIdentity": "test", "leaseDurationSeconds": 3600, "renewTime": renewed}
    await api.create(path, {"metadata": meta, "spec": spec})
    await api.server._identity.collect()
    assert (await api("GET", f"{path}/test")).status == (200 if kept else 404)
    assert len((await api.get(LEASES + OURS))["items"]) >= 1, "its own stays"
