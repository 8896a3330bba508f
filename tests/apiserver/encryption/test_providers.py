"""What is sealed comes open with its key, and with no other."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tiphys.apiserver.encryption.ciphers import AesCbc, AesGcm, Secretbox
from tiphys.apiserver.encryption.providers import Identity, Provider, Providers, Unreadable

KEY = "/registry/secrets/default/a"
ONE, TWO = bytes(range(32)), bytes(range(1, 33))
GCM, CBC, BOX = AesGcm("k1", ONE), AesCbc("k1", ONE), Secretbox("k1", ONE)
VALUES = [b"", b"{}", b"x" * 15, b"x" * 16, b"x" * 17, b"{" + b"y" * 5000]


@pytest.mark.parametrize(
    "provider", [GCM, CBC, BOX, Identity()], ids=["aesgcm", "aescbc", "secretbox", "identity"]
)
@pytest.mark.parametrize("value", VALUES, ids=len)
def test_there_and_back(provider: Provider, value: bytes) -> None:
    sealed = provider.seal(KEY, value)
    assert sealed.startswith(provider.prefix)
    assert provider.open(KEY, sealed) == value


@pytest.mark.parametrize(
    ("provider", "prefix"),
    [
        (GCM, b"k8s:enc:aesgcm:v1:k1:"),
        (CBC, b"k8s:enc:aescbc:v1:k1:"),
        (BOX, b"k8s:enc:secretbox:v1:k1:"),
    ],
)
def test_the_stored_form(provider: Provider, prefix: bytes) -> None:
    one, two = provider.seal(KEY, b"{}"), provider.seal(KEY, b"{}")
    assert one.startswith(prefix)
    assert one != two, "a nonce is used once"
    assert b"{}" not in one


def test_a_value_is_bound_to_its_storage_key() -> None:
    sealed = GCM.seal(KEY, b"{}")
    with pytest.raises(Unreadable, match="cipher: message authentication failed"):
        GCM.open("/registry/secrets/default/b", sealed)


def padded(plain: bytes) -> bytes:
    """Return a stored form of ``CBC`` whose padding is whatever the text ends with."""
    vector = bytes(16)
    encryptor = Cipher(algorithms.AES(CBC.secret), modes.CBC(vector)).encryptor()
    return CBC.prefix + vector + encryptor.update(plain) + encryptor.finalize()


CASES: list[tuple[str, bytes, list[Provider], str]] = [
    ("no key of that name", GCM.seal(KEY, b"{}"), [AesGcm("k2", ONE)],
     "no matching key was found for the provided AES transformer"),
    ("no box of that name", BOX.seal(KEY, b"{}"), [Secretbox("k2", ONE)],
     "no matching key was found for the provided Secretbox transformer"),
    ("another secret", GCM.seal(KEY, b"{}"), [AesGcm("k1", TWO)], "cipher: message authentication failed"),
    ("another cipher", GCM.seal(KEY, b"{}"), [CBC], "no matching prefix found"),
    ("plain without identity", b"{}", [GCM], "no matching prefix found"),
    ("identity alone", GCM.seal(KEY, b"{}"), [Identity()], "no matching prefix found"),
    ("cut off", b"k8s:enc:aesgcm:v1:k1:abc", [GCM], "the stored data was shorter than the required size"),
    ("cbc cut off", b"k8s:enc:aescbc:v1:k1:abc", [CBC], "the stored data was shorter than the required size"),
    ("cbc no blocks", b"k8s:enc:aescbc:v1:k1:" + b"a" * 17, [CBC],
     "the stored data is not a multiple of the block size"),
    ("box cut off", b"k8s:enc:secretbox:v1:k1:" + b"a" * 39, [BOX],
     "the stored data was shorter than the required size"),
    ("box of another secret", BOX.seal(KEY, b"{}"), [Secretbox("k1", TWO)],
     "output array was not large enough for encryption"),
    ("cbc padding", padded(b"a" * 15 + b"\x02"), [CBC], "invalid padding on input"),
    ("cbc padding of many", padded(b"\x11" * 32), [CBC], "invalid padding on input"),
    ("cbc not padded", padded(b"a" * 15 + b"\x00"), [CBC], "invalid PKCS7 data (empty or not padded)"),
    ("cbc padded beyond", padded(b"a" * 16), [CBC], "invalid PKCS7 data (empty or not padded)"),
    ("cbc of nothing", padded(b""), [CBC], "invalid PKCS7 data (empty or not padded)"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("sealed", "providers", "text"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_what_does_not_open(sealed: bytes, providers: list[Provider], text: str) -> None:
    with pytest.raises(Unreadable) as caught:
        Providers(providers).open(KEY, sealed)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    "providers",
    [
        [Identity(), GCM],
        [AesGcm("k2", TWO), GCM],
        [AesGcm("k1", TWO), GCM],
        [CBC, GCM],
    ],
    ids=["leaving encryption", "rotated", "same name", "another cipher"],
)
def test_the_first_writes_and_all_read(providers: list[Provider]) -> None:
    both = Providers(providers)
    assert both.open(KEY, GCM.seal(KEY, b"{}")) == (b"{}", GCM)
    assert both.open(KEY, both.seal(KEY, b"{}")) == (b"{}", providers[0])


def test_keys_are_not_shown() -> None:
    assert str(ONE) not in repr(GCM) + repr(CBC)
