"""Whether an issuer has signed a JSON Web Token, for whom, and until when.

Owns: the checks of one token, in the words of upstream's library. What its claims mean is ``jwt_tokens``'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

import jwt
import orjson

from tiphys.apimachinery.go_text import quoted_list
from tiphys.apimachinery.schema import strict_json
from tiphys.apimachinery.schema.mismatch import json_kind
from tiphys.apimachinery.schema.strict_json import JsonError
from tiphys.apiserver.authn.jwks import KeysUnavailable

_GOOGLE: Final = "accounts.google.com"
_NOT_YET_LEEWAY: Final = timedelta(minutes=5)
_UNREAD: Final = "oidc: failed to unmarshal claims"
_JWS: Final = jwt.PyJWS()
_NAMES: Final = "_claim_names"
_SOURCES: Final = "_claim_sources"


class NotVerified(Exception):
    """A token that is not what it claims to be, not for us, or over."""


class Keys(Protocol):
    def candidates(self, key_id: str) -> list[jwt.PyJWK]:
        """Return those of the known keys that may have signed."""
        ...

    async def newer(self, key_id: str) -> list[jwt.PyJWK]:
        """Return those that may have signed of keys fetched anew. Raises KeysUnavailable."""
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
            NotVerified: it is none of the issuer's, not for us, or over, or no keys can be had.
        """
        claims = _told(token)  # what costs nothing is looked at before any key is asked for
        _check_form(claims)
        _check_sources(claims)
        if len(self._audiences) == 1:
            self._check_audience(claims)
        _check_times(claims, now)
        header = jwt.get_unverified_header(token)
        if header.get("alg") not in self._algorithms:
            raise NotVerified(
                "oidc: id token signed with unsupported algorithm, expected "
                f'{quoted_list(self._algorithms)} got "{header.get("alg")}"'
            )
        if not await self._is_signed(token, header):
            raise NotVerified("failed to verify signature: failed to verify id token signature")
        if len(self._audiences) > 1:
            self._check_audience(claims)
        return claims

    async def _is_signed(self, token: str, header: Mapping[str, Any]) -> bool:
        """Tell whether a known key has signed, or one that is fetched now: keys may change under their id."""
        key_id, algorithm = str(header.get("kid") or ""), header["alg"]
        known = self._keys.candidates(key_id)
        if any(_opened(token, key, algorithm) for key in known):
            return True
        try:
            newer = await self._keys.newer(key_id)
        except KeysUnavailable as error:
            raise NotVerified(f"failed to verify signature: {error}") from error
        return any(_opened(token, key, algorithm) for key in newer)

    def _check_audience(self, claims: Mapping[str, Any]) -> None:
        audiences = _audiences(claims.get("aud"))
        if set(audiences) & set(self._audiences):
            return
        several = len(self._audiences) > 1
        want = f"in {quoted_list(sorted(self._audiences))}" if several else f'"{self._audiences[0]}"'
        raise NotVerified(f"oidc: expected audience {want} got {quoted_list(audiences)}")


def issuer_of(token: str) -> str:
    """Return the issuer that a token claims, unverified; empty when it is no JWT."""
    try:
        issuer = _told(token).get("iss")
    except NotVerified:
        return ""
    if not isinstance(issuer, str):
        return ""
    return f"https://{_GOOGLE}" if issuer == _GOOGLE else issuer


def _opened(token: str, key: jwt.PyJWK, algorithm: str) -> bool:
    """Tell whether a key has signed a token."""
    try:
        _JWS.decode_complete(token, key.key, algorithms=[algorithm])
    except (jwt.InvalidTokenError, TypeError, ValueError):
        return False
    return True


def _told(token: str) -> dict[str, Any]:
    """Return what a token says, whoever has signed it, as Go would read it. Raises NotVerified."""
    try:
        payload = _JWS.decode_complete(token, options={"verify_signature": False})["payload"]
    except (jwt.InvalidTokenError, ValueError) as error:
        raise NotVerified(f"oidc: malformed jwt: {error}") from error
    try:
        found = strict_json.loads(payload)
    except JsonError as error:
        raise NotVerified(f"{_UNREAD}: {error}") from error
    if not isinstance(found, dict):
        raise NotVerified(f"{_UNREAD}: {_go_value(found, 'oidc.idToken')}")
    return found


def _check_times(claims: Mapping[str, Any], now: datetime) -> None:
    expires, begins = _moment(claims.get("exp")), _moment(claims.get("nbf"))
    if expires is None or expires < now:
        shown = "0001-01-01 00:00:00 +0000 UTC" if expires is None else _go_time(expires)
        raise NotVerified(f"oidc: token is expired (Token Expiry: {shown})")
    if begins is not None and now + _NOT_YET_LEEWAY < begins:
        raise NotVerified(
            f"oidc: current time {_go_time(now)} before the nbf (not before) time: {_go_time(begins)}"
        )


def _moment(value: Any) -> datetime | None:
    """Return a moment that is told in seconds; None where there is none. Raises NotVerified."""
    if value is None:
        return None
    try:
        if isinstance(value, bool):
            raise TypeError
        return datetime.fromtimestamp(int(float(value)), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        raise NotVerified(f"{_UNREAD}: {_no_number(value)}") from None


def _no_number(value: Any) -> str:
    if isinstance(value, str):
        quoted = orjson.dumps(orjson.dumps(value).decode()).decode()
        return f"json: invalid number literal, trying to unmarshal {quoted} into Number"
    return _go_value(value, "json.Number")


def _go_time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S +0000 UTC")


def _check_form(claims: Mapping[str, Any]) -> None:
    subject = claims.get("sub")
    if not isinstance(subject, str | None):
        raise NotVerified(_unread(subject, "sub", "string"))
    _audiences(claims.get("aud"))


def _audiences(named: Any) -> list[str]:
    """Return for whom a token is. Raises NotVerified."""
    found = [named] if isinstance(named, str) else named or []
    if not isinstance(found, list):
        wrong, wanted = named, "[]string"
    else:
        wrong, wanted = next((one for one in found if not isinstance(one, str)), None), "string"
    if wrong is not None:
        raise NotVerified(f"{_UNREAD}: {_go_value(wrong, wanted)}")
    return [one or "" for one in found]


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
    kind = json_kind(value)
    return f"{_UNREAD}: json: cannot unmarshal {kind} into Go struct field idToken.{field} of type {wanted}"


def _go_value(value: Any, wanted: str) -> str:
    return f"json: cannot unmarshal {json_kind(value)} into Go value of type {wanted}"
