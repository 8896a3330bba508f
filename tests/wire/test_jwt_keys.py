"""Keys of JSON Web Tokens."""

from __future__ import annotations

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tiphys.wire.jwt_keys import SigningKey, algorithm, key_id

RSA_KEY = rsa.generate_private_key(65537, 2048)


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        (RSA_KEY, "RS256"),
        (ec.generate_private_key(ec.SECP256R1()), "ES256"),
        (ec.generate_private_key(ec.SECP384R1()), "ES384"),
        (ec.generate_private_key(ec.SECP521R1()), "ES512"),
    ],
    ids=["RSA", "P-256", "P-384", "P-521"],
)
def test_signing(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, wanted: str) -> None:
    signing = SigningKey(pem(key))
    text = signing.sign({"sub": "a"})
    assert jwt.get_unverified_header(text) == {"alg": wanted, "typ": "JWT", "kid": key_id(key.public_key())}
    assert jwt.decode(text, key.public_key(), algorithms=[wanted]) == {"sub": "a"}
    assert signing.public.public_numbers() == key.public_key().public_numbers()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "data",
    [b"nothing", pem(ed25519.Ed25519PrivateKey.generate()), pem(ec.generate_private_key(ec.SECP256K1()))],
)
def test_what_is_no_such_key(data: bytes) -> None:
    with pytest.raises(ValueError):
        SigningKey(data)


def test_algorithms_of_public_keys() -> None:
    assert algorithm(RSA_KEY.public_key()) == "RS256"
    with pytest.raises(ValueError, match="service account keys must be RSA or ECDSA keys"):
        algorithm(ed25519.Ed25519PrivateKey.generate().public_key())
