"""Keys of JSON Web Tokens: what a key is called, which algorithm goes with it, and signing.

Owns: RSA and ECDSA keys as service account tokens use them. What is in a token is its maker's, whom it
stands for the API server's.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

CURVES: Final = {
    "secp256r1": ("P-256", "ES256", 32),
    "secp384r1": ("P-384", "ES384", 48),
    "secp521r1": ("P-521", "ES512", 66),
}
"""Curve -> its name in a JWK, the algorithm, bytes of a coordinate."""


class SigningKey:
    """A private key. Raises ValueError for what is no RSA or ECDSA private key."""

    def __init__(self, pem: bytes) -> None:
        self._private: Any = serialization.load_pem_private_key(pem, None)
        self.public: PublicKeyTypes = self._private.public_key()
        self.id = key_id(self.public)
        self._algorithm = algorithm(self.public)

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return a token with these claims."""
        return jwt.encode(dict(claims), self._private, algorithm=self._algorithm, headers={"kid": self.id})


def algorithm(key: PublicKeyTypes) -> str:
    """Return what a key signs with. Raises ValueError."""
    if isinstance(key, rsa.RSAPublicKey):
        return "RS256"
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in CURVES:
        return CURVES[key.curve.name][1]
    raise ValueError("service account keys must be RSA or ECDSA keys")


def key_id(key: PublicKeyTypes) -> str:
    """Return the ``kid`` of a key: the hash of its public half."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64url(hashlib.sha256(der).digest())


def base64url(data: bytes) -> str:
    """Encode as JSON Web Tokens do."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
