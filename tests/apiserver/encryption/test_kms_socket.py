"""KMS v2 over a real socket: the client, and whole servers with a plugin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.apiserver.encryption.kms_plugin import Plugin, served

from tiphys.apiserver.encryption.kms_client import KmsClient, KmsFailed, Status, target_of
from tiphys.storage.memory import MemoryStore

KEY = "/registry/secrets/default/a"
SECRETS = "/api/v1/namespaces/default/secrets"


@pytest.fixture
def socket(tmp_path: Path) -> Iterator[tuple[str, Plugin]]:
    with served(tmp_path) as found:
        yield found


def test_the_client(socket: tuple[str, Plugin]) -> None:
    endpoint, plugin = socket
    client = KmsClient(endpoint, 3.0)
    assert client.status() == Status("v2", "ok", "1")
    made = client.encrypt(b"seed")
    assert (made.key_id, made.annotations) == ("1", {"kek.example.com": b"x"})
    assert client.decrypt(made) == b"seed"
    plugin.down = True
    with pytest.raises(KmsFailed, match="rpc error: code = Unavailable desc = down"):
        client.status()
    client.close()
    client.close()


@pytest.mark.parametrize(
    ("endpoint", "target"),
    [("unix:///run/kms.sock", "unix:/run/kms.sock"), ("unix:///@kms.sock", "unix-abstract:kms.sock")],
)
def test_targets(endpoint: str, target: str) -> None:
    assert target_of(endpoint) == target


def configured(path: Path, endpoint: str, name: str = "local") -> Path:
    kms = {"apiVersion": "v2", "name": name, "endpoint": endpoint, "timeout": "2s"}
    return plain(path, {"kms": kms})


def plain(path: Path, *first: dict[str, Any]) -> Path:
    entry = {"resources": ["secrets"], "providers": [*first, {"identity": {}}]}
    head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration"}
    path.write_text(yaml.safe_dump({**head, "resources": [entry]}))
    return path


class Kept(MemoryStore):
    """A memory store that outlives the servers over it."""

    async def close(self) -> None:
        return


async def test_a_whole_server(serving: Any, tmp_path: Path, socket: tuple[str, Plugin]) -> None:
    endpoint, plugin = socket
    path, store = configured(tmp_path / "e.yaml", endpoint), Kept()
    async with serving(store, encryption_provider_config=path) as api:
        await api.create(SECRETS, {"metadata": {"name": "a"}, "stringData": {"k": "hush"}})
        record = await store.get(KEY)
        assert record is not None
        assert record.value.startswith(b"k8s:enc:kms:v2:local:")
        assert (await api("GET", "/healthz/kms-providers")).raw == b"ok"
    async with serving(store, encryption_provider_config=path) as api:
        assert (await api.get(f"{SECRETS}/a"))["data"] == {"k": "aHVzaA=="}
    assert plugin.asked.count("Decrypt") == 1


async def test_a_server_whose_plugin_is_gone_says_so(
    serving: Any, tmp_path: Path, socket: tuple[str, Plugin]
) -> None:
    endpoint, plugin = socket
    plugin.down = True
    async with serving(Kept(), encryption_provider_config=configured(tmp_path / "e.yaml", endpoint)) as api:
        for path in ("/readyz/kms-providers", "/readyz", "/healthz"):
            assert (await api("GET", path)).status == 500, path
        assert (await api("GET", "/livez")).status == 200
        assert (await api("GET", "/livez/kms-providers")).status == 404
        answer = await api("POST", SECRETS, {"metadata": {"name": "a"}})
        assert (answer.status, answer.message) == (
            500,
            "Internal error occurred: got unexpected nil transformer",
        )
        await api.create("/api/v1/namespaces/default/configmaps", {"metadata": {"name": "m"}})


@pytest.mark.parametrize("reloads", [False, True])
async def test_without_plugins_only_rules_that_may_change_are_checked(
    serving: Any, tmp_path: Path, *, reloads: bool
) -> None:
    options = {
        "encryption_provider_config": plain(tmp_path / "e.yaml"),
        "encryption_provider_config_automatic_reload": reloads,
    }
    async with serving(Kept(), **options) as api:
        health = await api("GET", "/readyz/kms-providers")
        assert health.status == (200 if reloads else 404)


async def test_new_rules_wait_for_their_plugin(
    serving: Any, tmp_path: Path, socket: tuple[str, Plugin]
) -> None:
    endpoint, plugin = socket
    path = plain(tmp_path / "e.yaml")
    store, plugin.down = Kept(), True
    async with serving(store, encryption_provider_config=path) as api:
        sealing = api.server._store
        configured(path, endpoint)
        assert not sealing.reload()
        await sealing._poll()
        await api.create(SECRETS, {"metadata": {"name": "a"}})
        record = await store.get(KEY)
        assert record is not None
        assert not record.value.startswith(b"k8s:enc:")
        plugin.down = False
        await sealing._poll()
        await api.patch(f"{SECRETS}/a", {"stringData": {"k": "v"}})
        record = await store.get(KEY)
        assert record is not None
        assert record.value.startswith(b"k8s:enc:kms:v2:local:")


async def test_a_plugin_that_is_named_no_more_is_no_more_asked(
    serving: Any, tmp_path: Path, socket: tuple[str, Plugin]
) -> None:
    endpoint, plugin = socket
    path = configured(tmp_path / "e.yaml", endpoint)
    async with serving(Kept(), encryption_provider_config=path) as api:
        sealing = api.server._store
        plugin.down = True
        await sealing._poll()
        health = await api("GET", "/readyz/kms-providers")
        assert health.status == 500
        assert b"kms-provider-0: failed to perform status section" in health.raw
        plain(path)
        assert sealing.reload()
        assert (await api("GET", "/readyz/kms-providers")).status == 200
        asked = len(plugin.asked)
        await sealing._poll()
        assert len(plugin.asked) == asked
