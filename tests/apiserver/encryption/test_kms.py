"""KMS v2: seeds, keys that change, plugins that fail, over a real socket and without one."""
# ruff: noqa: E501

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.errors import InternalError
from tiphys.apiserver.encryption.kms import Kms, KmsPool, KmsSettings
from tiphys.apiserver.encryption.kms_client import (
    Encrypted,
    KmsClient,
    KmsFailed,
    Status,
    message,
    target_of,
)
from tiphys.apiserver.encryption.providers import Providers, Unreadable
from tiphys.storage.memory import MemoryStore

KEY = "/registry/secrets/default/a"
SECRETS = "/api/v1/namespaces/default/secrets"


def _mix(data: bytes, key_id: str) -> bytes:
    """Turn a seed into something else and back; no cipher, but enough to tell keys apart."""
    stream = hashlib.sha256(key_id.encode()).digest() * (len(data) // 32 + 1)
    return bytes(one ^ other for one, other in zip(data, stream, strict=False))


@dataclass
class Plugin:
    """A plugin in this process: what it says, and what it was asked."""

    key_id: str = "1"
    version: str = "v2"
    healthz: str = "ok"
    down: bool = False
    annotations: dict[str, bytes] = field(default_factory=lambda: {"kek.example.com": b"x"})
    asked: list[str] = field(default_factory=list)

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.down:
            raise KmsFailed("rpc error: code = Unavailable desc = down")

    def status(self) -> Status:
        self._ask("Status")
        return Status(self.version, self.healthz, self.key_id)

    def encrypt(self, plaintext: bytes) -> Encrypted:
        self._ask("Encrypt")
        return Encrypted(_mix(plaintext, self.key_id), self.key_id, self.annotations)

    def decrypt(self, encrypted: Encrypted) -> bytes:
        self._ask("Decrypt")
        assert encrypted.annotations == self.annotations
        return _mix(encrypted.ciphertext, encrypted.key_id)

    def close(self) -> None:
        self.asked.append("close")


def provider(plugin: Plugin, clock: FakeClock | None = None) -> Kms:
    kms = Kms("local", plugin, clock or FakeClock())
    kms.poll()
    return kms


def test_values_come_back_and_no_two_are_alike() -> None:
    plugin = Plugin()
    kms = provider(plugin)
    sealed = [kms.seal(KEY, b"value") for _ in range(2)]
    assert sealed[0] != sealed[1]
    assert all(one.startswith(b"k8s:enc:kms:v2:local:") and b"value" not in one for one in sealed)
    assert [kms.open(KEY, one) for one in sealed] == [b"value", b"value"]
    assert plugin.asked == ["Status", "Encrypt"]


def test_the_stored_form() -> None:
    kms = provider(Plugin())
    stored = message("EncryptedObject").FromString(kms.seal(KEY, b"value").removeprefix(kms.prefix))
    assert (stored.key_id, stored.encrypted_dek_source_type) == ("1", 1)
    assert dict(stored.annotations) == {"kek.example.com": b"x"}
    assert len(stored.encrypted_dek_source) == 32
    # 32 bytes that make the key, the nonce, the value, its tag.
    assert len(stored.encrypted_data) == 32 + 12 + len(b"value") + 16


def test_a_value_is_bound_to_its_place() -> None:
    kms = provider(Plugin())
    with pytest.raises(Unreadable, match="message authentication failed"):
        kms.open("/registry/secrets/default/b", kms.seal(KEY, b"value"))


def test_another_server_asks_for_the_seed_once() -> None:
    plugin = Plugin()
    sealed = [provider(plugin).seal(KEY, b"value") for _ in range(1)]
    other = Kms("local", plugin, FakeClock())
    assert [other.open(KEY, one) for one in sealed * 3] == [b"value"] * 3
    assert plugin.asked.count("Decrypt") == 1


def test_what_cannot_be_unsealed_is_tried_again_later() -> None:
    plugin, clock = Plugin(), FakeClock()
    sealed = provider(plugin).seal(KEY, b"value")
    other = Kms("local", plugin, clock)
    plugin.down = True
    for _ in range(2):
        with pytest.raises(Unreadable, match="failed to decrypt DEK, error: rpc error: code = Unavailable"):
            other.open(KEY, sealed)
    assert plugin.asked.count("Decrypt") == 1
    plugin.down = False
    clock.advance(11)
    assert other.open(KEY, sealed) == b"value"


def test_a_key_that_changes_makes_older_values_stale() -> None:
    plugin = Plugin()
    kms = provider(plugin)
    sealed = kms.seal(KEY, b"value")
    assert kms.mark(sealed) == kms.mark()
    kms.poll()
    assert plugin.asked.count("Encrypt") == 1
    plugin.key_id = "2"
    kms.poll()
    assert plugin.asked.count("Encrypt") == 2
    assert kms.mark(sealed) != kms.mark()
    assert kms.mark(kms.seal(KEY, b"value")) == kms.mark()
    assert kms.open(KEY, sealed) == b"value"


def test_writes_go_on_for_three_minutes_and_reads_for_ever() -> None:
    plugin, clock = Plugin(), FakeClock()
    kms = provider(plugin, clock)
    sealed = kms.seal(KEY, b"value")
    plugin.down = True
    clock.advance(170)
    assert not kms.poll()
    assert kms.seal(KEY, b"more")
    clock.advance(20)
    with pytest.raises(InternalError) as caught:
        kms.seal(KEY, b"more")
    name = hashlib.sha256(b"1").hexdigest()
    began = clock.now() - timedelta(seconds=190)
    assert caught.value.message == (
        f'Internal error occurred: encryptedDEKSource with keyID hash "sha256:{name}" expired at '
        f"{began + timedelta(minutes=3):%Y-%m-%dT%H:%M:%SZ} (current time is {clock.now():%Y-%m-%dT%H:%M:%SZ})"
    )
    assert kms.open(KEY, sealed) == b"value"
    plugin.down = False
    assert kms.poll()
    assert kms.seal(KEY, b"more")
    assert plugin.asked.count("Encrypt") == 1


def test_nothing_is_written_before_the_plugin_has_answered() -> None:
    kms = Kms("local", Plugin(down=True), FakeClock())
    assert kms.fault == "kms provider local has not been asked yet"
    assert not kms.poll()
    with pytest.raises(InternalError, match="unexpected nil transformer"):
        kms.seal(KEY, b"value")


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "down": (
        {"down": True},
        "failed to perform status section of the healthz check for KMS Provider local, error: rpc error: "
        "code = Unavailable desc = down",
    ),
    "ill": ({"healthz": "no"}, "kmsv2 Provider local is not healthy, error: got unexpected healthz status: no"),
    "another version": (
        {"version": "v3"}, "kmsv2 Provider local is not healthy, error: expected KMSv2 API version v2, got v3"
    ),
    "no key": (
        {"key_id": ""},
        'kmsv2 Provider local is not healthy, error: got invalid KMSv2 KeyID hash "": keyID is empty',
    ),
    "annotations that are none": (
        {"annotations": {"x": b""}},
        'failed to rotate DEK: failed to validate annotations: annotations: Invalid value: "x": should be a '
        "domain with at least two segments separated by dots",
    ),
    "annotations that are too long": (
        {"annotations": {"a.b": b"x" * 33000}},
        "failed to rotate DEK: failed to validate annotations: total size of annotations is 33003, which "
        "exceeds the max size of 32768",
    ),
    "well": ({}, ""),
}  # fmt: skip


@pytest.mark.parametrize(("says", "fault"), FAULTS.values(), ids=FAULTS)
def test_health(says: dict[str, Any], fault: str) -> None:
    kms = Kms("local", Plugin(**says), FakeClock())
    assert kms.poll() is not bool(fault)
    assert (kms.fault or "") == fault


STORED: dict[str, tuple[dict[str, Any], str]] = {
    "no data": ({"encrypted_data": b""}, "encrypted data is empty"),
    "no source": (
        {"encrypted_dek_source": b""}, "failed to validate encrypted DEK source: encrypted DEK source is empty",
    ),
    "a source that is too long": (
        {"encrypted_dek_source": b"x" * 1025},
        "failed to validate encrypted DEK source: encrypted DEK source is 1025 bytes, which exceeds the max "
        "size of 1024",
    ),
    "no key": ({"key_id": ""}, "failed to validate key id: keyID is empty"),
    "another kind of source": ({"encrypted_dek_source_type": 7}, "unknown encryptedDEKSourceType: 7"),
    "too little": ({"encrypted_data": b"x"}, "the stored data was shorter than the required size"),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "fault"), STORED.values(), ids=STORED)
def test_damaged_values(fields: dict[str, Any], fault: str) -> None:
    kms = provider(Plugin(annotations={}))
    good = {
        "encrypted_data": b"x" * 60, "encrypted_dek_source": b"y" * 32, "key_id": "1",
        "encrypted_dek_source_type": 1,
    }  # fmt: skip
    sealed = kms.prefix + message("EncryptedObject")(**{**good, **fields}).SerializeToString()
    with pytest.raises(Unreadable) as caught:
        kms.open(KEY, sealed)
    assert str(caught.value) == fault


def test_bytes_that_are_no_message() -> None:
    kms = provider(Plugin())
    with pytest.raises(Unreadable, match="cannot parse"):
        kms.open(KEY, kms.prefix + b"\xff\xff\xff")


def test_a_key_of_older_servers() -> None:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    plugin, key, nonce = Plugin(annotations={}), b"k" * 32, b"n" * 12
    stored = message("EncryptedObject")(
        encrypted_data=nonce + AESGCM(key).encrypt(nonce, b"value", KEY.encode()), key_id="1",
        encrypted_dek_source=_mix(key, "1"),
    )  # fmt: skip
    kms = provider(plugin)
    sealed = kms.prefix + stored.SerializeToString()
    assert kms.open(KEY, sealed) == b"value"
    assert kms.mark(sealed) != kms.mark()


def test_several_plugins_are_told_apart() -> None:
    one, two = Kms("a", Plugin(), FakeClock()), Kms("b", Plugin(), FakeClock())
    for kms in (one, two):
        kms.poll()
    assert Providers((one, two)).open(KEY, two.seal(KEY, b"value"))[0] == b"value"
    with pytest.raises(Unreadable, match="no matching prefix found"):
        Providers((one,)).open(KEY, two.seal(KEY, b"value"))


def test_a_pool_keeps_plugins_that_stay() -> None:
    made: list[KmsSettings] = []

    def make(settings: KmsSettings) -> Kms:
        made.append(settings)
        return Kms(settings.name, Plugin(), FakeClock())

    pool = KmsPool(make)
    assert not pool
    first = KmsSettings("a", "unix:///a")
    assert pool.provider(first) is pool.provider(KmsSettings("a", "unix:///a"))
    pool.provider(KmsSettings("a", "unix:///a", 1.0))
    assert len(made) == 2
    assert pool.fault()
    assert pool.poll()
    assert pool.fault() is None
    named = pool.named()
    assert named == (first, KmsSettings("a", "unix:///a", 1.0))
    assert pool.named() == ()
    pool.keep([first])
    assert pool.fault(named) is None
    pool.provider(named[1])
    assert len(made) == 3, "the other one was forgotten"


def test_what_is_wrong_with_which() -> None:
    plugins = {name: Plugin() for name in "abc"}
    pool = KmsPool(lambda settings: Kms(settings.name, plugins[settings.name], FakeClock()))
    named = [KmsSettings(name, f"unix:///{name}") for name in "abc"]
    for settings in named:
        pool.provider(settings)
    assert pool.poll()
    plugins["b"].down = True
    assert not pool.poll()
    said = "failed to perform status section of the healthz check for KMS Provider {}, error: {}"
    down = "rpc error: code = Unavailable desc = down"
    assert pool.fault(named) == f"kms-provider-1: {said.format('b', down)}"
    assert pool.fault(named[:1]) is None
    plugins["c"].down = True
    pool.poll()
    assert pool.fault(named) == (
        f"[kms-provider-1: {said.format('b', down)}, kms-provider-2: {said.format('c', down)}]"
    )


def test_what_is_counted() -> None:
    plugin = Plugin()
    pool, clock = KmsPool(lambda settings: Kms(settings.name, plugin, FakeClock())), FakeClock()
    kms = pool.provider(KmsSettings("local", "unix:///a"))
    assert pool.poll()
    sealed = kms.seal(KEY, b"value")
    for _ in range(2):
        kms.open(KEY, sealed)
    plugin.down = True
    pool.poll()
    shown: dict[tuple[str, ...], float] = {}
    for family in pool.collect():
        for one in family.samples:
            labels = {key: value for key, value in one.labels.items() if key != "apiserver_id_hash"}
            if one.value and not one.name.endswith(("_bucket", "_sum")):
                name = one.name.removeprefix("apiserver_envelope_encryption_")
                shown[name, *sorted(labels.values())] = one.value
    key, at = f"sha256:{hashlib.sha256(plugin.key_id.encode()).hexdigest()}", clock.now().timestamp()
    assert shown == {
        ("dek_source_cache_size", "local"): 1,
        ("kms_operations_latency_seconds_count", "OK", "Status", "local"): 1,
        ("kms_operations_latency_seconds_count", "Encrypt", "OK", "local"): 1,
        ("kms_operations_latency_seconds_count", "Status", "Unavailable", "local"): 1,
        ("key_id_hash_total", "local", key, "to_storage"): 1,
        ("key_id_hash_total", "from_storage", "local", key): 2,
        ("key_id_hash_last_timestamp_seconds", "local", key, "to_storage"): at,
        ("key_id_hash_last_timestamp_seconds", "from_storage", "local", key): at,
        ("key_id_hash_status_last_timestamp_seconds", "local", key): at,
    }


@pytest.mark.parametrize(("key_id", "error"), [("", "empty"), ("x" * 1025, "too_long")])
def test_keys_that_are_none_are_counted(key_id: str, error: str) -> None:
    kms = Kms("local", Plugin(key_id=key_id), FakeClock())
    kms.poll()
    assert kms.counts.invalid == {error: 1}


# -- over a socket


@pytest.fixture
def socket(tmp_path: Path) -> Iterator[tuple[str, Plugin]]:
    """A plugin that is served at an endpoint."""
    plugin = Plugin()

    def answer(name: str, make: Any) -> Any:
        def handle(request: Any, context: Any) -> Any:
            if plugin.down:
                context.abort(grpc.StatusCode.UNAVAILABLE, "down")
            return make(request)

        return grpc.unary_unary_rpc_method_handler(
            handle, message(f"{name}Request").FromString, message(f"{name}Response").SerializeToString
        )

    def encrypt(request: Any) -> Any:
        made = plugin.encrypt(request.plaintext)
        return message("EncryptResponse")(
            ciphertext=made.ciphertext, key_id=made.key_id, annotations=dict(made.annotations)
        )

    def decrypt(request: Any) -> Any:
        asked = Encrypted(request.ciphertext, request.key_id, dict(request.annotations))
        return message("DecryptResponse")(plaintext=plugin.decrypt(asked))

    def status(_request: Any) -> Any:
        found = plugin.status()
        return message("StatusResponse")(version=found.version, healthz=found.healthz, key_id=found.key_id)

    server = grpc.server(futures.ThreadPoolExecutor(2))
    handlers = {"Status": answer("Status", status), "Encrypt": answer("Encrypt", encrypt),
                "Decrypt": answer("Decrypt", decrypt)}  # fmt: skip
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("v2.KeyManagementService", handlers)]
    )
    server.add_insecure_port(f"unix:{tmp_path}/kms.sock")
    server.start()
    yield f"unix://{tmp_path}/kms.sock", plugin
    server.stop(None).wait()


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
    entry = {"resources": ["secrets"], "providers": [{"kms": kms}, {"identity": {}}]}
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
        health = await api("GET", "/readyz/kms-providers")
        assert health.status == 500
        answer = await api("POST", SECRETS, {"metadata": {"name": "a"}})
        assert (answer.status, answer.message) == (
            500,
            "Internal error occurred: got unexpected nil transformer",
        )
        await api.create("/api/v1/namespaces/default/configmaps", {"metadata": {"name": "m"}})


async def test_new_rules_wait_for_their_plugin(
    serving: Any, tmp_path: Path, socket: tuple[str, Plugin]
) -> None:
    endpoint, plugin = socket
    path = tmp_path / "e.yaml"
    path.write_text(yaml.safe_dump({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration",
        "resources": [{"resources": ["secrets"], "providers": [{"identity": {}}]}],
    }))  # fmt: skip
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
        path.write_text(yaml.safe_dump({
            "apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration",
            "resources": [{"resources": ["secrets"], "providers": [{"identity": {}}]}],
        }))  # fmt: skip
        assert sealing.reload()
        assert (await api("GET", "/readyz/kms-providers")).status == 200
        asked = len(plugin.asked)
        await sealing._poll()
        assert len(plugin.asked) == asked
