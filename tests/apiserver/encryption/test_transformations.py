"""What is counted of values that are sealed and opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.apiserver.encryption.test_kms_socket import Kept

from tiphys.apiserver.encryption.transformations import Transformations

SECRETS = "/api/v1/namespaces/default/secrets"
REVISIONS = "/apis/apps/v1/namespaces/default/controllerrevisions"
COUNTS = "apiserver_storage_transformation_operations_total"
GCM = "k8s:enc:aesgcm:v1:"


def configured(path: Path, *providers: dict[str, Any]) -> Path:
    head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration"}
    rule = {"resources": ["secrets", "controllerrevisions.apps"], "providers": list(providers)}
    path.write_text(yaml.safe_dump({**head, "resources": [rule]}))
    return path


def key(letter: str) -> dict[str, Any]:
    secret = {"a": "c2VjcmV0IGlzIHNlY3VyZQ==", "b": "dGhpcyBpcyBwYXNzd29yZA=="}[letter]
    return {"aesgcm": {"keys": [{"name": "k", "secret": secret}]}}


async def counted(api: Any) -> dict[str, float]:
    text = (await api("GET", "/metrics")).raw.decode()
    lines = [line.rpartition(" ") for line in text.splitlines() if line.startswith(COUNTS)]
    return {name.removeprefix(COUNTS): float(value) for name, _, value in lines}


def labels(status: str, direction: str, prefix: str, resource: str = "secrets") -> str:
    of = f'resource="{resource}",status="{status}"'
    return f'{{{of},transformation_type="{direction}",transformer_prefix="{prefix}"}}'


async def test_a_server(serving: Any, tmp_path: Path) -> None:
    path, store = configured(tmp_path / "e.yaml", key("a"), {"identity": {}}), Kept()
    async with serving(store, encryption_provider_config=path) as api:
        await api.create(SECRETS, {"metadata": {"name": "s"}})
        await api.create(REVISIONS, {"metadata": {"name": "r"}, "revision": 1, "data": {}})
        found = await counted(api)
        assert found[labels("OK", "to_storage", GCM)] == 1
        assert found[labels("OK", "to_storage", GCM, "controllerrevisions.apps")] == 1
        assert not [name for name in found if "configmaps" in name]
    async with serving(store, encryption_provider_config=path) as api:
        await api.get(f"{SECRETS}/s")
        assert (await counted(api))[labels("OK", "from_storage", GCM)] == 1
    for providers, prefix in (((key("b"),), GCM), (({"identity": {}},), "unknown")):
        path = configured(tmp_path / "e.yaml", *providers)
        async with serving(store, encryption_provider_config=path) as api:
            assert (await api("GET", f"{SECRETS}/s")).status == 500
            assert (await counted(api))[labels("unknown-non-grpc", "from_storage", prefix)] >= 1


def test_times() -> None:
    transformations = Transformations()
    transformations.done("secrets", "to_storage", b"", 3e-5)
    times, counts = transformations.collect()
    samples = {tuple(sorted(sample.labels.items())): sample.value for sample in times.samples
               if sample.name.endswith("_bucket")}  # fmt: skip
    at = {dict(name)["le"]: value for name, value in samples.items()}
    assert len(at) == 26
    assert {bound: at[bound] for bound in ("5e-06", "2e-05", "4e-05", "+Inf")} == {
        "5e-06": 0, "2e-05": 0, "4e-05": 1, "+Inf": 1,
    }  # fmt: skip
    (sample,) = counts.samples
    assert (sample.labels["transformer_prefix"], sample.labels["status"]) == ("identity", "OK")


@pytest.mark.parametrize("name", ["transformation_duration_seconds", "transformation_operations"])
def test_families_of_servers_that_seal_nothing_yet(name: str) -> None:
    assert f"apiserver_storage_{name}" in {family.name for family in Transformations().collect()}
