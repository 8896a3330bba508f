"""Service account tokens: signing, verifying, and the keys that clients may check them with.

Owns: the claims of bound tokens and whether what they are bound to still lives. Refuses: deciding who
may ask for one (authorization of ``serviceaccounts/token``).

Source: KEP-1205 (bound tokens), KEP-4193 (node binding, JTI), OIDC discovery for service accounts.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from tiphys.apimachinery.meta import Object, new_uid
from tiphys.apiserver.authn.user import User, service_account_name

_CLAIMS = "kubernetes.io"
_CURVES = {
    "secp256r1": ("P-256", "ES256", 32),
    "secp384r1": ("P-384", "ES384", 48),
    "secp521r1": ("P-521", "ES512", 66),
}
"""Curve -> its name in a JWK, the algorithm, bytes of a coordinate."""
_MAX_CACHED = 10_000
_SIGNATURE_ONLY: Any = dict.fromkeys(("verify_aud", "verify_exp", "verify_nbf", "verify_iat"), False)


class InvalidToken(Exception):
    """A token that is ours by its issuer but must not be let in; the text is for the log."""


@dataclass(frozen=True, slots=True)
class Binding:
    """What a token is bound to: it dies with its pod, secret or node."""

    kind: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """One token to sign. Lifetimes are in seconds; ``warn_after_s`` marks extended ones."""

    service_account: Object
    audiences: tuple[str, ...]
    lifetime_s: int
    bindings: tuple[Binding, ...] = ()
    warn_after_s: int = 0


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token whose signature holds: claims, and the audiences it was made for."""

    claims: Mapping[str, Any]
    audiences: tuple[str, ...]

    def bound(self, kind: str) -> Mapping[str, Any]:
        """Return the ``{"name", "uid"}`` of what it is bound to, empty when it is not."""
        found = self.claims[_CLAIMS].get(kind) or {}
        return dict(found)

    @property
    def namespace(self) -> str:
        return str(self.claims[_CLAIMS]["namespace"])

    @property
    def account(self) -> str:
        return str(self.bound("serviceaccount")["name"])

    def user(self) -> User:
        """Return the identity that the token carries."""
        extra: list[tuple[str, tuple[str, ...]]] = []
        if jti := self.claims.get("jti"):
            extra.append(("authentication.kubernetes.io/credential-id", (f"JTI={jti}",)))
        for kind in ("node", "pod"):
            if bound := self.bound(kind):
                extra.append((f"authentication.kubernetes.io/{kind}-name", (str(bound["name"]),)))
                if bound.get("uid"):
                    extra.append((f"authentication.kubernetes.io/{kind}-uid", (str(bound["uid"]),)))
        return User(
            name=service_account_name(self.namespace, self.account),
            uid=str(self.bound("serviceaccount").get("uid", "")),
            groups=("system:serviceaccounts", f"system:serviceaccounts:{self.namespace}"),
            extra=tuple(extra),
        )


class TokenKeys:
    """The signing key and every key that verifies. Verified signatures are remembered, expiry is not."""

    def __init__(self, issuer: str, signing_key: bytes, further_keys: Sequence[bytes] = ()) -> None:
        private = serialization.load_pem_private_key(signing_key, None)
        self.issuer = issuer
        self._private: Any = private
        self._public: dict[str, PublicKeyTypes] = {}
        public = private.public_key()
        self._kid = _key_id(public)
        self._public[self._kid] = public
        for pem in further_keys:
            key = _load_public(pem)
            self._public[_key_id(key)] = key
        self._verified: dict[str, VerifiedToken] = {}

    def sign(self, request: TokenRequest, now: datetime) -> str:
        """Return a signed token."""
        meta = request.service_account["metadata"]
        issued = int(now.timestamp())
        private: dict[str, Any] = {
            "namespace": meta["namespace"],
            "serviceaccount": {"name": meta["name"], "uid": meta.get("uid", "")},
        }
        for binding in request.bindings:
            private[binding.kind] = {"name": binding.name, "uid": binding.uid}
        if request.warn_after_s:
            private["warnafter"] = issued + request.warn_after_s
        claims = {
            "aud": list(request.audiences),
            "exp": issued + request.lifetime_s,
            "iat": issued,
            "iss": self.issuer,
            "jti": new_uid(),
            _CLAIMS: private,
            "nbf": issued,
            "sub": service_account_name(meta["namespace"], meta["name"]),
        }
        return jwt.encode(
            claims,
            self._private,
            algorithm=_algorithm(self._private.public_key()),
            headers={"kid": self._kid},
        )

    def verify(self, token: str, now: datetime) -> VerifiedToken | None:
        """Check a token's signature and times; None when it is not one of ours at all.

        Raises:
            InvalidToken: it claims our issuer, and is wrong or too old.
        """
        found = self._verified.get(token)
        if found is None:
            found = self._check_signature(token)
            if found is None:
                return None
            if len(self._verified) >= _MAX_CACHED:
                self._verified.clear()
            self._verified[token] = found
        moment = now.timestamp()
        if moment >= float(found.claims["exp"]):
            raise InvalidToken("service account token has expired")
        if moment < float(found.claims.get("nbf", 0)) - 1:
            raise InvalidToken("service account token is not valid yet")
        return found

    def _check_signature(self, token: str) -> VerifiedToken | None:
        try:
            header = jwt.get_unverified_header(token)
            claims = jwt.decode(token, options={"verify_signature": False})
        except jwt.InvalidTokenError:
            return None
        if claims.get("iss") != self.issuer:
            return None
        kid = header.get("kid")
        keys = [self._public[kid]] if kid in self._public else list(self._public.values())
        for key in keys:
            try:
                jwt.decode(
                    token, key,  # type: ignore[arg-type]
                    algorithms=[_algorithm(key)],
                    options=_SIGNATURE_ONLY,
                )  # fmt: skip
            except jwt.InvalidTokenError:
                continue
            if not isinstance(claims.get(_CLAIMS), dict) or not claims[_CLAIMS].get("serviceaccount"):
                raise InvalidToken("service account token carries no account")
            audiences = claims.get("aud") or []
            return VerifiedToken(claims, tuple([audiences] if isinstance(audiences, str) else audiences))
        raise InvalidToken("service account token has no valid signature")

    def jwks(self) -> dict[str, Any]:
        """Return the public keys as a JSON Web Key Set."""
        return {"keys": [_jwk(kid, key) for kid, key in self._public.items()]}

    def openid_configuration(self, jwks_uri: str) -> dict[str, Any]:
        """Return the OIDC discovery document."""
        return {
            "issuer": self.issuer,
            "jwks_uri": jwks_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": sorted({_algorithm(k) for k in self._public.values()}),
        }


def _load_public(pem: bytes) -> PublicKeyTypes:
    if b"PRIVATE KEY" in pem:
        return serialization.load_pem_private_key(pem, None).public_key()
    return serialization.load_pem_public_key(pem)


def _algorithm(key: PublicKeyTypes) -> str:
    if isinstance(key, rsa.RSAPublicKey):
        return "RS256"
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return _CURVES[key.curve.name][1]
    raise ValueError("service account keys must be RSA or ECDSA keys")


def _key_id(key: PublicKeyTypes) -> str:
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return _base64url(hashlib.sha256(der).digest())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _integer(value: int, size: int | None = None) -> str:
    return _base64url(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def _jwk(kid: str, key: PublicKeyTypes) -> dict[str, Any]:
    jwk = {"use": "sig", "kid": kid, "alg": _algorithm(key)}
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return {**jwk, "kty": "RSA", "n": _integer(numbers.n), "e": _integer(numbers.e)}
    assert isinstance(key, ec.EllipticCurvePublicKey)
    curve, _algorithm_name, size = _CURVES[key.curve.name]
    point = key.public_numbers()
    return {**jwk, "kty": "EC", "crv": curve, "x": _integer(point.x, size), "y": _integer(point.y, size)}
