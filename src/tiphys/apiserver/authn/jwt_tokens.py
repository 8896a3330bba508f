"""Tokens of OpenID Connect issuers: verified with the issuer's keys, their claims mapped to a user.

Owns: the checks of one token and upstream's words for what fails. The file is ``jwt_config``'s, the keys are
``jwks``'s.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import jwt

from tiphys.apimachinery.clock import Clock
from tiphys.apiserver.authn.expressions import ExpressionError
from tiphys.apiserver.authn.jwks import IssuerKeys, IssuerUnavailable
from tiphys.apiserver.authn.jwt_config import ClaimMapping, JwtConfig, Rule
from tiphys.apiserver.authn.tokens import Authenticated, Refused
from tiphys.apiserver.authn.user import User

_GOOGLE = "accounts.google.com"
_NOT_YET_LEEWAY_S = 300
_REMEMBERED_S = 10.0
_MAX_REMEMBERED = 4096
_SIGNATURE_ONLY: Any = dict.fromkeys(("verify_aud", "verify_exp", "verify_nbf", "verify_iat"), False)


class JwtTokens:
    """Tokens of one issuer."""

    def __init__(self, config: JwtConfig, clock: Clock, keys: IssuerKeys | None = None) -> None:
        self._config = config
        self._clock = clock
        self._keys = keys or IssuerKeys(
            config.url,
            clock,
            discovery_url=config.discovery_url,
            certificate_authority=config.certificate_authority,
        )
        self._remembered: OrderedDict[bytes, tuple[float, User]] = OrderedDict()

    async def authenticate_token(self, token: str, audiences: tuple[str, ...]) -> Authenticated | None:
        if issuer_of(token) != self._config.url:
            return None
        key = hashlib.sha256(token.encode()).digest()
        kept = self._remembered.get(key)
        now = self._clock.now()
        if kept is None or kept[0] <= now.timestamp():
            claims = await self._verified(token, now)
            user = map_claims(self._config, claims)
            until = min(now.timestamp() + _REMEMBERED_S, float(claims["exp"]))
            kept = self._remembered[key] = (until, user)
            if len(self._remembered) > _MAX_REMEMBERED:
                self._remembered.popitem(last=False)
        return Authenticated(kept[1])

    async def close(self) -> None:
        return

    def reload(self) -> None:
        return

    async def _verified(self, token: str, now: datetime) -> dict[str, Any]:
        """Return the claims of a token that the issuer has signed, for us, and that is not over."""
        try:
            header = jwt.get_unverified_header(token)
            candidates = await self._keys.candidates(str(header.get("kid") or ""))
        except jwt.InvalidTokenError as error:
            raise Refused(f"oidc: verify token: oidc: malformed jwt: {error}") from error
        except IssuerUnavailable as error:
            raise Refused(f"oidc: {error}") from error
        if header.get("alg") not in self._config.algorithms:
            raise Refused(
                "oidc: verify token: oidc: id token signed with unsupported algorithm, expected "
                f'{_quoted(self._config.algorithms)} got "{header.get("alg")}"'
            )
        claims = next((found for key in candidates if (found := _opened(token, key, header["alg"]))), None)
        if claims is None:
            raise Refused(
                "oidc: verify token: failed to verify signature: failed to verify id token signature"
            )
        _check_claims(self._config, claims, now)
        return claims


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


def _check_claims(config: JwtConfig, claims: Mapping[str, Any], now: datetime) -> None:
    named = claims.get("aud") or []
    audiences = [named] if isinstance(named, str) else [str(one) for one in named]
    if not set(audiences) & set(config.audiences):
        got, several = _quoted(audiences), len(config.audiences) > 1
        want = f"in {_quoted(sorted(config.audiences))}" if several else f'"{config.audiences[0]}"'
        raise Refused(f"oidc: verify token: oidc: expected audience {want} got {got}")
    try:
        expires, begins = float(claims["exp"]), float(claims.get("nbf") or 0)
    except (KeyError, TypeError, ValueError):
        raise Refused("oidc: verify token: oidc: token has no expiry") from None
    moment = now.timestamp()
    if moment > expires:
        shown = datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%d %H:%M:%S +0000 UTC")
        raise Refused(f"oidc: verify token: oidc: token is expired (Token Expiry: {shown})")
    if begins and moment + _NOT_YET_LEEWAY_S < begins:
        raise Refused("oidc: verify token: oidc: current time before the nbf (not before) time")


def map_claims(config: JwtConfig, claims: Mapping[str, Any]) -> User:
    """Return the user that claims stand for. Raises Refused where a mapping or a rule says no. Pure."""
    name = _username(config.username, claims)
    user = User(name, _uid(config.uid, claims), _groups(config.groups, claims), _extra(config, claims))
    for rule in config.claim_rules:
        if rule.claim:
            _check_required(rule, claims)
    _check_rules(config.claim_rules, claims, "claim validation expression")
    _check_rules(config.user_rules, user.to_info(), "user info validation rule")
    return user


def _evaluate(mapping: ClaimMapping, claims: Mapping[str, Any], what: str) -> Any:
    assert mapping.expression is not None
    try:
        return mapping.expression.evaluate(claims)
    except ExpressionError as error:
        raise Refused(f"oidc: error evaluating {what} claim expression: {error}") from error


def _text(mapping: ClaimMapping, claims: Mapping[str, Any], what: str) -> str:
    found = _evaluate(mapping, claims, what)
    if not isinstance(found, str):
        raise Refused(
            f"oidc: error evaluating {what} claim expression: {what} claim expression must return a string"
        )
    return found


def _username(mapping: ClaimMapping, claims: Mapping[str, Any]) -> str:
    if mapping.expression is not None:
        name = _text(mapping, claims, "username")
        if not name:
            raise Refused("oidc: username claim is empty")
        return name
    if mapping.claim not in claims:
        raise Refused(f'oidc: parse username claims "{mapping.claim}": claim not present')
    value = claims[mapping.claim]
    if not isinstance(value, str):
        raise Refused(f'oidc: parse username claims "{mapping.claim}": {_no_string(value)}')
    if mapping.claim == "email" and "email_verified" in claims:
        verified = claims["email_verified"]
        if not isinstance(verified, bool):
            raise Refused("oidc: parse 'email_verified' claim: it is no boolean")
        if not verified:
            raise Refused("oidc: email not verified")
    return mapping.prefix + value


def _groups(mapping: ClaimMapping, claims: Mapping[str, Any]) -> tuple[str, ...]:
    if mapping.expression is not None:
        return _strings(_evaluate(mapping, claims, "group"), "group claim expression")
    if not mapping.claim or mapping.claim not in claims:
        return ()
    value = claims[mapping.claim]
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise Refused(f'oidc: parse groups claim "{mapping.claim}": {_no_string(value)}')
    return tuple(mapping.prefix + one for one in values)


def _uid(mapping: ClaimMapping, claims: Mapping[str, Any]) -> str:
    if mapping.expression is not None:
        return _text(mapping, claims, "uid")
    if not mapping.claim:
        return ""
    if mapping.claim not in claims:
        raise Refused(f'oidc: parse uid claim "{mapping.claim}": claim not present')
    value = claims[mapping.claim]
    if not isinstance(value, str):
        raise Refused(f'oidc: parse uid claim "{mapping.claim}": {_no_string(value)}')
    return value


def _extra(config: JwtConfig, claims: Mapping[str, Any]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    found = []
    for key, expression in config.extra:
        mapping = ClaimMapping(expression=expression)
        values = _strings(_evaluate(mapping, claims, "extra"), f"extra claim expression: {expression.text}")
        if values:
            found.append((key, values))
    return tuple(sorted(found))


def _strings(value: Any, what: str) -> tuple[str, ...]:
    """Return the strings of a string or a list; empty ones are as good as none."""
    values = [value] if isinstance(value, str) else value if value is not None else []
    if not isinstance(values, list | tuple) or not all(isinstance(one, str) for one in values):
        raise Refused(f"oidc: error evaluating {what}: expression must return a string or a list of strings")
    return tuple(one for one in values if one)


def _check_required(rule: Rule, claims: Mapping[str, Any]) -> None:
    if rule.claim not in claims:
        raise Refused(f"oidc: required claim {rule.claim} not present in ID token")
    value = claims[rule.claim]
    if not isinstance(value, str):
        raise Refused(f"oidc: parse claim {rule.claim}: {_no_string(value)}")
    if value != rule.required_value:
        raise Refused(
            f"oidc: required claim {rule.claim} value does not match. "
            f"Got = {value}, want = {rule.required_value}"
        )


def _check_rules(rules: Sequence[Rule], value: Mapping[str, Any], what: str) -> None:
    for rule in rules:
        if rule.expression is None:
            continue
        try:
            holds = rule.expression.evaluate(value)
        except ExpressionError as error:
            raise Refused(f"oidc: error evaluating {what}: {error}") from error
        if not isinstance(holds, bool):
            raise Refused(f"oidc: error evaluating {what}: validation expression must return a boolean")
        if not holds:
            raise Refused(
                f"oidc: error evaluating {what}: validation expression '{rule.expression.text}' failed: "
                f"{rule.message}"
            )


def _no_string(value: Any) -> str:
    names = {bool: "bool", int: "number", float: "number", list: "array", dict: "object"}
    return f"json: cannot unmarshal {names.get(type(value), 'null')} into Go value of type string"


def _quoted(values: Sequence[str]) -> str:
    return "[" + " ".join(f'"{value}"' for value in values) + "]"
