"""Service account tokens: signing, verifying, and the keys that clients may check them with.

Owns: the claims of bound tokens, and the reading of the older ones that lie in Secrets. Refuses: whether what
a token is bound to still lives (``serviceaccount_tokens``) and who may ask for one (``subresources.token``).

Source: KEP-1205 (bound tokens), KEP-4193 (node binding, JTI), OIDC discovery for service accounts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.families import Metric
from tiphys.apimachinery.meta import Object, new_uid
from tiphys.apiserver.authn.tokens import Refused
from tiphys.apiserver.authn.user import User, service_account_name
from tiphys.wire.client_certificates import CREDENTIAL_ID
from tiphys.wire.jwt_keys import CURVES, SigningKey, algorithm, base64url, key_id

_CLAIMS = "kubernetes.io"
LEGACY_ISSUER = "kubernetes/serviceaccount"
_LEGACY = "kubernetes.io/serviceaccount/"
_LEGACY_NAMES = {
    "namespace": "namespace", "secret.name": "secretName", "service-account.name": "serviceAccountName",
    "service-account.uid": "serviceAccountUID",
}  # fmt: skip
"""Claims that older tokens must have, and how they are called where they lack."""
_MAX_CACHED = 2048
_LEEWAY_S = 60.0
"""Clocks of servers may differ by this much."""
_PEM_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.+?-----END \1-----\n?", re.DOTALL)
_SIGNATURE_ONLY: Any = dict.fromkeys(("verify_aud", "verify_exp", "verify_nbf", "verify_iat"), False)


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
    credential_id: str = ""
    """The ``jti``; a new one is made when empty."""


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token whose signature holds: claims, and the audiences it was made for."""

    claims: Mapping[str, Any]
    audiences: tuple[str, ...]
    legacy: bool = False
    """It lies in a Secret and has no end."""

    def bound(self, kind: str) -> Mapping[str, Any]:
        """Return the ``{"name", "uid"}`` of what it is bound to, empty when it is not."""
        found = self.claims[_CLAIMS].get(kind) or {}
        return dict(found)

    @property
    def namespace(self) -> str:
        return str(self.claims[_CLAIMS].get("namespace") or "")

    @property
    def account(self) -> str:
        return str(self.bound("serviceaccount").get("name") or "")

    @property
    def subject(self) -> str:
        return str(self.claims.get("sub") or "")

    def check_legacy(self) -> None:
        """Raise Refused where a claim of an older token lacks, or is another's."""
        if not self.subject:
            raise Refused("sub claim is missing")
        for name, shown in _LEGACY_NAMES.items():
            if not self.claims.get(_LEGACY + name):
                raise Refused(f"{shown} claim is missing")
        if self.subject != service_account_name(self.namespace, self.account):
            raise Refused("sub claim is invalid")

    def check_times(self, now: datetime) -> None:
        """Raise Refused before and after its time."""
        moment = now.timestamp()
        if moment < float(self.claims.get("nbf", 0)) - _LEEWAY_S:
            raise Refused("service account token is not valid yet")
        if moment > float(self.claims.get("exp", moment)) + _LEEWAY_S:
            raise Refused("service account token has expired")
        if moment < float(self.claims.get("iat", 0)) - _LEEWAY_S:
            raise Refused("service account token is issued in the future")

    def user(self) -> User:
        """Return the identity that the token carries."""
        extra: list[tuple[str, tuple[str, ...]]] = []
        if jti := self.claims.get("jti"):
            extra.append((CREDENTIAL_ID, (f"JTI={jti}",)))
        for kind in ("node", "pod") if not self.legacy else ():
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
    """The signing key and every key that verifies. Verified signatures are remembered, expiry is not.

    The first issuer is written into new tokens; tokens of all of them are taken. Without a signing key
    ``external_keys`` knows who signs.
    """

    longest_s: int = 0
    """How long a token may last whatever the server allows; 0: as long as that."""

    def __init__(
        self, issuers: Sequence[str], signing_key: bytes | None, further_keys: Sequence[bytes] = ()
    ) -> None:
        self.issuers = tuple(issuers)
        self._key = SigningKey(signing_key) if signing_key is not None else None
        self._public: dict[str, PublicKeyTypes] = {}
        self._hidden: frozenset[str] = frozenset()
        if self._key is not None:
            self._public[self._key.id] = self._key.public
        for pem in further_keys:
            for key in load_public_keys(pem):
                self._public[key_id(key)] = key
        self._verified: dict[str, VerifiedToken] = {}
        self._earlier: dict[str, VerifiedToken] = {}
        """Tokens are renewed all the time: those that nobody has shown while as many others came go."""

    @property
    def max_age_s(self) -> int:
        """For how long others may keep the public keys."""
        return 3600

    @property
    def issuer(self) -> str:
        """Whom new tokens name."""
        return self.issuers[0]

    async def begin(self) -> None:
        """Get ready to sign and verify."""

    async def run(self) -> None:
        """Keep the keys current until cancelled; keys of one's own are."""

    async def close(self) -> None:
        """Let go of who signs. Idempotent."""

    def collect(self) -> Iterable[Metric]:
        """Yield what is counted of who signs elsewhere."""
        return ()

    async def issue(self, request: TokenRequest, now: datetime) -> str:
        """Return a signed token, whoever signs it. Raises InternalError."""
        return self.sign(request, now)

    def sign(self, request: TokenRequest, now: datetime) -> str:
        """Return a token that the own key has signed."""
        assert self._key is not None
        return self._key.sign(self.claims(request, now))

    def claims(self, request: TokenRequest, now: datetime) -> dict[str, Any]:
        """Return what a token says."""
        meta = request.service_account["metadata"]
        issued = int(now.timestamp())
        private: dict[str, Any] = {
            "namespace": meta["namespace"],
            "serviceaccount": {"name": meta["name"], "uid": meta.get("uid", "")},
        }
        for binding in request.bindings:
            private[binding.kind] = {"name": binding.name} | ({"uid": binding.uid} if binding.uid else {})
        if request.warn_after_s:
            private["warnafter"] = issued + request.warn_after_s
        return {
            "aud": list(request.audiences),
            "exp": issued + request.lifetime_s,
            "iat": issued,
            "iss": self.issuer,
            "jti": request.credential_id or new_uid(),
            _CLAIMS: private,
            "nbf": issued,
            "sub": service_account_name(meta["namespace"], meta["name"]),
        }

    async def check(self, token: str) -> VerifiedToken | None:
        """As ``verify``, with the keys that hold now."""
        return self.verify(token)

    def verify(self, token: str) -> VerifiedToken | None:
        """Check a token's signature; None when it is not one of ours at all.

        Raises:
            Refused: it claims our issuer, and is wrong.
        """
        found = self._verified.get(token)
        if found is None:
            found = self._earlier.pop(token, None) or self._check_signature(token)
            if found is None:
                return None
            if len(self._verified) >= _MAX_CACHED:
                self._earlier, self._verified = self._verified, {}
            self._verified[token] = found
        return found

    def forget_verified(self) -> None:
        """Check every token's signature again."""
        self._verified.clear()
        self._earlier.clear()

    def _check_signature(self, token: str) -> VerifiedToken | None:
        try:
            header = jwt.get_unverified_header(token)
            claims = jwt.decode(token, options={"verify_signature": False})
        except jwt.InvalidTokenError:
            return None
        legacy = claims.get("iss") == LEGACY_ISSUER
        if not legacy and claims.get("iss") not in self.issuers:
            return None
        keys = self._keys_for(header.get("kid") or "")
        if not keys:
            raise Refused("invalid signature, no keys found")
        if not any(_is_signed(token, key) for key in keys):
            raise Refused("go-jose/go-jose: error in cryptographic primitive")
        if legacy:
            claims = {**claims, _CLAIMS: _legacy_claims(claims)}
        claims = {**claims, _CLAIMS: claims.get(_CLAIMS) or {}}
        if not isinstance(claims[_CLAIMS], dict):
            raise Refused(
                "service account token claims could not be validated due to unexpected private claim"
            )
        audiences = claims.get("aud") or []
        return VerifiedToken(
            claims, tuple([audiences] if isinstance(audiences, str) else audiences), legacy=legacy
        )

    def _keys_for(self, kid: str) -> list[PublicKeyTypes]:
        """A key that is not known has signed nothing; any may have signed a token that names none."""
        if not kid:
            return list(self._public.values())
        return [self._public[kid]] if kid in self._public else []

    def _is_ours(self, token: str) -> bool:
        """Tell whether a token claims to be of a service account here: its signature is not looked at."""
        try:
            issuer = jwt.decode(token, options={"verify_signature": False}).get("iss")
        except jwt.InvalidTokenError:
            return False
        return issuer == LEGACY_ISSUER or issuer in self.issuers

    def _shown(self) -> dict[str, PublicKeyTypes]:
        return {kid: key for kid, key in self._public.items() if kid not in self._hidden}

    def jwks(self) -> dict[str, Any]:
        """Return the public keys as a JSON Web Key Set."""
        return {"keys": [_jwk(kid, key) for kid, key in self._shown().items()]}

    def openid_configuration(self, jwks_uri: str) -> dict[str, Any]:
        """Return the OIDC discovery document."""
        return {
            "issuer": self.issuer,
            "jwks_uri": jwks_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": sorted({algorithm(k) for k in self._shown().values()}),
        }


def discovery_fault(issuer: str) -> str:
    """Say why an issuer's keys cannot be found through it; empty where they can.

    Source: OpenID Connect Discovery 1.0, section 3.
    """
    parts = urlsplit(issuer)
    if parts.scheme != "https":
        return f"issuer URL must use https scheme, got: {issuer}"
    for name, value in (("query", parts.query), ("fragment", parts.fragment)):
        if value:
            return f"issuer URL may not include a {name}, got: {issuer}"
    return ""


def _is_signed(token: str, key: PublicKeyTypes) -> bool:
    try:
        jwt.decode(
            token, key,  # type: ignore[arg-type]
            algorithms=[algorithm(key)],
            options=_SIGNATURE_ONLY,
        )  # fmt: skip
    except jwt.InvalidTokenError:
        return False
    return True


def _legacy_claims(claims: Mapping[str, Any]) -> dict[str, Any]:
    """Return an older token's claims in the form of the present ones."""
    values = {name: str(claims.get(_LEGACY + name) or "") for name in _LEGACY_NAMES}
    return {
        "namespace": values["namespace"],
        "serviceaccount": {"name": values["service-account.name"], "uid": values["service-account.uid"]},
        "secret": {"name": values["secret.name"]},
    }


def load_public_keys(pem: bytes) -> list[PublicKeyTypes]:
    """Return every key of a PEM file: public ones, public halves of private ones, and of certificates.

    Raises:
        ValueError: there is none, or one is no RSA or ECDSA key.
    """
    keys: list[PublicKeyTypes] = []
    for block in _PEM_BLOCK.finditer(pem):
        if block[1].endswith(b"PRIVATE KEY"):
            keys.append(serialization.load_pem_private_key(block[0], None).public_key())
        elif block[1] == b"CERTIFICATE":
            keys.append(x509.load_pem_x509_certificate(block[0]).public_key())
        elif block[1].endswith(b"PUBLIC KEY"):
            keys.append(serialization.load_pem_public_key(block[0]))
    if not keys:
        raise ValueError("data does not contain any valid RSA or ECDSA public keys")
    for key in keys:
        algorithm(key)
    return keys


def _integer(value: int, size: int | None = None) -> str:
    return base64url(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def _jwk(kid: str, key: PublicKeyTypes) -> dict[str, Any]:
    """Return a key in the order of fields that upstream serves."""
    alg = algorithm(key)
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        modulus, exponent = _integer(numbers.n), _integer(numbers.e)
        return {"use": "sig", "kty": "RSA", "kid": kid, "alg": alg, "n": modulus, "e": exponent}
    assert isinstance(key, ec.EllipticCurvePublicKey)
    curve, _algorithm_name, size = CURVES[key.curve.name]
    point = key.public_numbers()
    x, y = _integer(point.x, size), _integer(point.y, size)
    return {"use": "sig", "kty": "EC", "kid": kid, "crv": curve, "alg": alg, "x": x, "y": y}
