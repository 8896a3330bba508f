"""The two controllers in a cluster: off unless asked for, then each does its part."""

from __future__ import annotations

import base64
from typing import Any

from tiphys.client.kinds import CONFIG_MAPS, SECRETS
from tiphys.controllers.manager import chosen
from tiphys.testing import Cluster


def secret(token_id: str, expiration: str = "") -> dict[str, Any]:
    values = {"token-id": token_id, "token-secret": "1" * 16, "usage-bootstrap-signing": "true"}
    if expiration:
        values["expiration"] = expiration
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"bootstrap-token-{token_id}", "namespace": "kube-system"},
        "type": "bootstrap.kubernetes.io/token",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()},
    }


def test_they_run_only_when_named() -> None:
    def names(*selection: str) -> set[str]:
        return {str(kind.name) for kind in chosen(selection)}  # type: ignore[attr-defined]

    own = {"token-cleaner-controller", "bootstrap-signer-controller"}
    assert not names("*") & own
    assert names("*", "bootstrapsigner", "tokencleaner") >= own
    assert names("token-cleaner-controller") == {"token-cleaner-controller"}
    assert not names("*", "tokencleaner", "-token-cleaner-controller") & own


async def test_in_a_cluster() -> None:
    selection = ("*", "bootstrap-signer-controller", "token-cleaner-controller")
    async with Cluster(nodes=0, scheduler=False, controller_options={"controllers": selection}) as cluster:
        info = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "cluster-info", "namespace": "kube-public"},
            "data": {"kubeconfig": "k"},
        }
        await cluster.client.create(CONFIG_MAPS, info)
        await cluster.client.create(SECRETS, secret("good00"))
        await cluster.client.create(SECRETS, secret("over00", "2020-01-01T00:00:00Z"))
        await cluster.wait_for(
            CONFIG_MAPS, "cluster-info", "kube-public",
            lambda obj: obj is not None and set(obj["data"]) == {"kubeconfig", "jws-kubeconfig-good00"},
        )  # fmt: skip
        await cluster.wait_for(
            SECRETS, "bootstrap-token-over00", "kube-system", lambda obj: obj is None
        )  # fmt: skip
        await cluster.client.get(SECRETS, "bootstrap-token-good00", "kube-system")
