"""Whether the key of a TLS Secret fits its certificate: what Go says of a pair that it cannot use."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key

from tiphys.apimachinery.meta import Object
from tiphys.apis.certificates.pem import Block, blocks
from tiphys.apis.defaulting import peek

_TYPE = "kubernetes.io/tls"
_CERTIFICATE, _KEY = "CERTIFICATE", "PRIVATE KEY"
_NO_DATA = "tls: failed to find any PEM data in {} input"
_SWITCHED = (
    "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs "
    "may have been switched"
)
_NO_KEY = "tls: found a certificate rather than a key in the PEM for the private key"
_SKIPPED = "after skipping PEM blocks of the following types: [{}]"
_PRIVATE = (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey)
_PUBLIC = (rsa.RSAPublicKey, ec.EllipticCurvePublicKey, ed25519.Ed25519PublicKey)


def secret_warnings(secret: Object, _old: Object | None) -> list[str]:
    """Return the warnings about a Secret: nobody can serve with a pair that does not fit."""
    if secret.get("type") != _TYPE:
        return []
    data = peek(secret, "data")
    fault = pair_fault(_text(data.get("tls.crt")), _text(data.get("tls.key")))
    return [fault] if fault else []


def _text(value: object) -> str:
    try:
        return base64.b64decode(str(value or "")).decode("latin-1")
    except binascii.Error:
        return ""


def pair_fault(certificate: str, key: str) -> str:
    """Return what is wrong with a certificate and its key; empty where they fit."""
    chain = list(blocks(certificate))
    found = [block for block in chain if block.type == _CERTIFICATE]
    if not found:
        return _without_certificate([block.type for block in chain])
    private = next((block for block in blocks(key) if _is_key(block)), None)
    if private is None:
        return _without_key([block.type for block in blocks(key)])
    try:
        public: Any = x509.load_der_x509_certificate(found[0].data).public_key()
    except Exception:
        # The library has many kinds of errors for bytes that are no certificate.
        return "x509: malformed certificate"
    return _unfit(public, private)


def _is_key(block: Block) -> bool:
    return block.type == _KEY or block.type.endswith(f" {_KEY}")


def _without_certificate(skipped: list[str]) -> str:
    if not skipped:
        return _NO_DATA.format("certificate")
    if len(skipped) == 1 and skipped[0].endswith(_KEY):
        return _SWITCHED
    what = f'tls: failed to find "{_CERTIFICATE}" PEM block in certificate input'
    return f"{what} {_SKIPPED.format(' '.join(skipped))}"


def _without_key(skipped: list[str]) -> str:
    if not skipped:
        return _NO_DATA.format("key")
    if skipped == [_CERTIFICATE]:
        return _NO_KEY
    what = f'tls: failed to find PEM block with type ending in "{_KEY}" in key input'
    return f"{what} {_SKIPPED.format(' '.join(skipped))}"


def _unfit(public: object, private: Block) -> str:
    if not isinstance(public, _PUBLIC):
        return "tls: unknown public key algorithm"
    try:
        key = load_der_private_key(private.data, None)
    except Exception:
        # The library has many kinds of errors for bytes that are no key.
        return "tls: failed to parse private key"
    if not isinstance(key, _PRIVATE):
        return "tls: found unknown private key type in PKCS#8 wrapping"
    own = key.public_key()
    if type(own) is not type(public):
        return "tls: private key type does not match public key type"
    return "" if own == public else "tls: private key does not match public key"
