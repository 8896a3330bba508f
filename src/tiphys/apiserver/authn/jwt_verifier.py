"""Whether an issuer has signed a JSON Web Token, for whom, and until when.

Owns: the checks of one token, in the words of upstream's library. What its claims mean is ``jwt_tokens``'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import jwt

_GOOGLE: Final = "accounts.google.com"
_NOT_YET_LEEWAY_S: Final = 300
_SIGNATURE_ONLY: Any = dict.fromkeys(("verify_aud", "verify_exp", "verify_nbf", "verify_iat"), False)
_NAMES: Final = "_claim_names"
_SOURCES: Final = "_claim_sources"


class NotVerified(Exception):
    """A token that is not what it claims to be, not for us, or over."""


class Keys(Protocol):
    async def candidates(self, key_id: str) -> list[jwt.PyJWK]:
        """Return the keys that may have signed. Raises IssuerUnavailable."""
        ...


class Verifier:
    """Tokens of one issuer, for one of these audiences."""

    def __init__(self, audiences: Sequence[str], algorithms: Sequence[str], keys: Keys) -> None:
        self._audiences = tuple(audiences)
        self._algorithms = tuple(algorithms)
        self._keys = keys

    async def verify(self, token: str, now: datetime) -> dict[str, Any]:
        """Return the claims of a token.

        Raises:
            NotVerified: it is none of the issuer's, not for us, or over.
            IssuerUnavailable: no keys can be had.
        """
        try:
            header = jwt.get_unverified_header(token)
            candidates = await self._keys.candidates(str(header.get("kid") or ""))
        except jwt.InvalidTokenError as error:
            raise NotVerified(f"oidc: malformed jwt: {error}") from error
        if header.get("alg") not in self._algorithms:
            raise NotVerified(
                "oidc: id token signed with unsupported algorithm, expected "
                f'{_quoted(self._algorithms)} got "{header.get("alg")}"'
            )
        claims = next((found for key in candidates if (found := _opened(token, key, header["alg"]))), None)
        if claims is None:
            raise NotVerified("failed to verify signature: failed to verify id token signature")
        _check_times(claims, now)
        _check_sources(claims)
        self._check_audience(claims)
        return claims

    def _check_audience(self, claims: Mapping[str, Any]) -> None:
        named = claims.get("aud") or []
        audiences = [named] if isinstance(named, str) else [str(one) for one in named]
        if set(audiences) & set(self._audiences):
            return
        several = len(self._audiences) > 1
        want = f"in {_quoted(sorted(self._audiences))}" if several else f'"{self._audiences[0]}"'
        raise NotVerified(f"oidc: expected audience {want} got {_quoted(audiences)}")


def issuer_of(token: str) -> str:
    """Return the issuer that a token claims, unverified; empty when it is no JWT."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except (jwt.InvalidTokenError, ValueError):
        return ""
    issuer = claims.get("iss")
    return f"https://{_GOOGLE}" if issuer == _GOOGLE else str(issuer or "")


def _opened(token: str, key: jwt.PyJWK, algorithm: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = jwt.decode(token, key.key, algorithms=[algorithm], options=_SIGNATURE_ONLY)
    except (jwt.InvalidTokenError, TypeError, ValueError):
        return None
    return found


def _check_times(claims: Mapping[str, Any], now: datetime) -> None:
    try:
        expires, begins = float(claims["exp"]), float(claims.get("nbf") or 0)
    except (KeyError, TypeError, ValueError):
        raise NotVerified("oidc: token has no expiry") from None
    moment = now.timestamp()
    if moment > expires:
        shown = datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%d %H:%M:%S +0000 UTC")
        raise NotVerified(f"oidc: token is expired (Token Expiry: {shown})")
    if begins and moment + _NOT_YET_LEEWAY_S < begins:
        raise NotVerified("oidc: current time before the nbf (not before) time")


def _check_sources(claims: Mapping[str, Any]) -> None:
    """Every claim that lies elsewhere must have a source that the token names, whoever wants it."""
    names, sources = claims.get(_NAMES) or {}, claims.get(_SOURCES) or {}
    for key, value, kind in ((_NAMES, names, "string"), (_SOURCES, sources, "oidc.claimSource")):
        if not isinstance(value, dict):
            raise NotVerified(_unread(value, key, f"map[string]{kind}"))
    for source in names.values():
        if not isinstance(source, str):
            raise NotVerified(_unread(source, _NAMES, "string"))
        if not source:
            raise NotVerified("oidc: failed to obtain source from claim name")
        if source not in sources:
            raise NotVerified("oidc: source does not exist")
    for found in sources.values():
        if not isinstance(found, dict):
            raise NotVerified(_unread(found, _SOURCES, "oidc.claimSource"))


def _unread(value: Any, field: str, wanted: str) -> str:
    return (
        f"oidc: failed to unmarshal claims: json: cannot unmarshal {json_kind(value)} into Go struct field "
        f"idToken.{field} of type {wanted}"
    )


def json_kind(value: Any) -> str:
    """Return what Go calls a JSON value."""
    names = {bool: "bool", str: "string", int: "number", float: "number", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _quoted(values: Sequence[str]) -> str:
    return "[" + " ".join(f'"{value}"' for value in values) + "]"
