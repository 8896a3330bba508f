"""KMS v2: seeds, keys that change, plugins that fail, in this process."""
# ruff: noqa: E501

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from tests.apiserver.encryption.kms_plugin import Plugin, mixed

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.errors import InternalError
from tiphys.apiserver.encryption.kms import Kms, KmsPool, KmsSettings
from tiphys.apiserver.encryption.kms_client import message
from tiphys.apiserver.encryption.providers import Providers, Unreadable

KEY = "/registry/secrets/default/a"
SECRETS = "/api/v1/namespaces/default/secrets"


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
        encrypted_dek_source=mixed(key, "1"),
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
