"""Tokens of OpenID Connect issuers: verified with the issuer's keys, their claims mapped to a user.

Nothing of an issuer is asked for on behalf of a token before it has told where its keys lie (``ready``).
Owns: what claims make of a user and upstream's words for what fails. Signatures and dates are
``jwt_verifier``'s, groups that lie elsewhere ``distributed_claims``', the file is ``jwt_config``'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.schema.mismatch import json_kind
from tiphys.apiserver.authn.distributed_claims import DistributedClaims, NotExpanded
from tiphys.apiserver.authn.expressions import ExpressionError
from tiphys.apiserver.authn.jwks import IssuerKeys
from tiphys.apiserver.authn.jwt_config import ClaimMapping, JwtConfig, Rule
from tiphys.apiserver.authn.jwt_counts import FAILURE, SUCCESS, KeyFetches
from tiphys.apiserver.authn.jwt_verifier import NotVerified, Verifier, issuer_of
from tiphys.apiserver.authn.token_cache import TokenCache, TokenCacheCounts
from tiphys.apiserver.authn.tokens import Authenticated, Refused
from tiphys.apiserver.authn.user import User
from tiphys.wire.client_certificates import CREDENTIAL_ID
from tiphys.wire.dial import Tunnel

_REMEMBERED_S = 10.0
_NOBODY: Mapping[str, Any] = {"username": "", "uid": "", "groups": [], "extra": {}}
"""What rules about a user find of what it has not."""


class JwtTokens:
    """Tokens of one issuer."""

    def __init__(
        self,
        config: JwtConfig,
        clock: Clock,
        keys: IssuerKeys | None = None,
        counts: KeyFetches | None = None,
        through: Tunnel | None = None,
        *,
        cached: TokenCacheCounts | None = None,
    ) -> None:
        self._config = config
        self._clock = clock
        self._counts = counts or KeyFetches(config.url, clock)
        self._keys = keys or IssuerKeys(
            config.url,
            clock,
            discovery_url=config.discovery_url,
            certificate_authority=config.certificate_authority,
            fetches=self._counts,
            through=through,
        )
        self._verifier = Verifier(config.audiences, config.algorithms, self._keys)
        claim = config.groups.claim
        self._elsewhere = DistributedClaims(claim, config, clock, through) if claim else None
        self._cache = TokenCache(self._ask, clock, cached or TokenCacheCounts(), ttl_s=_REMEMBERED_S)

    async def authenticate_token(self, token: str, audiences: tuple[str, ...]) -> Authenticated | None:
        if issuer_of(token) != self._config.url:
            return None
        return await self._cache.get(token, audiences)

    async def _ask(self, token: str, _audiences: tuple[str, ...]) -> Authenticated:
        """Return whom a token names: one of these is good for every audience. Raises Refused."""
        claims, user = await self._checked(token, self._clock.now())
        return Authenticated(user, until_s=float(claims["exp"]))  # verified: it has one

    async def _checked(self, token: str, now: datetime) -> tuple[dict[str, Any], User]:
        """Return what a token says and whom it names. Raises Refused."""
        began, result = self._clock.monotonic(), FAILURE
        try:
            claims = await self._claims(token, now)
            user = map_claims(self._config, claims)
            result = SUCCESS
        finally:
            self._counts.checked(result, self._clock.monotonic() - began)
        return claims, user

    async def close(self) -> None:
        self._cache.close()

    @property
    def is_ready(self) -> bool:
        """Whether the issuer has told where its keys lie: before, its tokens are refused."""
        return self._keys.found

    async def ready(self) -> None:
        """Know where the issuer's keys lie. Raises IssuerUnavailable."""
        await self._keys.ready()

    async def _claims(self, token: str, now: datetime) -> dict[str, Any]:
        """Return what a token says, with the groups that it says lie elsewhere. Raises Refused."""
        if not self.is_ready:
            raise Refused("oidc: authenticator not initialized")
        try:
            claims = await self._verifier.verify(token, now)
        except NotVerified as error:
            raise Refused(f"oidc: verify token: {error}") from error
        if self._elsewhere is None:
            return claims
        try:
            return await self._elsewhere.expand(claims, now)
        except NotExpanded as error:
            raise Refused(f"oidc: could not expand distributed claims: {error}") from error


def map_claims(config: JwtConfig, claims: Mapping[str, Any]) -> User:
    """Return the user that claims stand for. Raises Refused where a mapping or a rule says no. Pure."""
    name = _username(config.username, claims)
    groups = _groups(config.groups, claims)  # their faults are told first
    user = User(name, _uid(config.uid, claims), groups, _extra(config, claims))
    for rule in config.claim_rules:
        if rule.claim:
            _check_required(rule, claims)
    _check_rules(config.claim_rules, claims, "claim validation expression")
    _check_rules(config.user_rules, {**_NOBODY, **user.to_info()}, "user info validation rule")
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
            raise Refused("oidc: empty username via CEL expression is not allowed")
        return name
    if mapping.claim not in claims:
        raise Refused(f'oidc: parse username claims "{mapping.claim}": claim not present')
    value = claims[mapping.claim]
    if not isinstance(value, str | None):
        raise Refused(f'oidc: parse username claims "{mapping.claim}": {_no_string(value)}')
    if mapping.claim == "email" and "email_verified" in claims:
        verified = claims["email_verified"]
        if not isinstance(verified, bool | None):
            raise Refused(f"oidc: parse 'email_verified' claim: {_unread(verified, 'bool')}")
        if not verified:
            raise Refused("oidc: email not verified")
    return mapping.prefix + (value or "")


def _groups(mapping: ClaimMapping, claims: Mapping[str, Any]) -> tuple[str, ...]:
    if mapping.expression is not None:
        return _strings(_evaluate(mapping, claims, "group"), "group claim expression")
    value = claims.get(mapping.claim) if mapping.claim else None
    if value is None:
        return ()
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(one, str | None) for one in values):
        raise Refused(f'oidc: parse groups claim "{mapping.claim}": {_no_string(value)}')
    return tuple(mapping.prefix + (one or "") for one in values)


def _uid(mapping: ClaimMapping, claims: Mapping[str, Any]) -> str:
    if mapping.expression is not None:
        return _text(mapping, claims, "uid")
    if not mapping.claim:
        return ""
    if mapping.claim not in claims:
        raise Refused(f'oidc: parse uid claim "{mapping.claim}": claim not present')
    value = claims[mapping.claim]
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Refused(f'oidc: parse uid claim "{mapping.claim}": {_no_string(value)}')
    return value


def _extra(config: JwtConfig, claims: Mapping[str, Any]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    found: list[tuple[str, tuple[str, ...]]] = []
    if isinstance(jti := claims.get("jti"), str) and jti:
        found.append((CREDENTIAL_ID, (f"JTI={jti}",)))
    try:
        evaluated = [(key, expression.text, expression.evaluate(claims)) for key, expression in config.extra]
    except ExpressionError as error:
        raise Refused(str(error)) from error
    for key, text, value in evaluated:
        if values := _strings(value, f"extra claim expression: {text}"):
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
    value = "" if claims[rule.claim] is None else claims[rule.claim]
    if not isinstance(value, str):
        raise Refused(f"oidc: parse claim {rule.claim}: {_no_string(value)}")
    if value != rule.required_value:
        raise Refused(
            f"oidc: required claim {rule.claim} value does not match. "
            f"Got = {value}, want = {rule.required_value}"
        )


def _check_rules(rules: Sequence[Rule], value: Mapping[str, Any], what: str) -> None:
    """Raise Refused where a rule does not hold; one that cannot be evaluated is told before all others."""
    expressions = [(rule.expression, rule.message) for rule in rules if rule.expression is not None]
    try:
        evaluated = [
            (expression.text, message, expression.evaluate(value)) for expression, message in expressions
        ]
    except ExpressionError as error:
        raise Refused(f"oidc: error evaluating {what}: {error}") from error
    for text, message, holds in evaluated:
        if not isinstance(holds, bool):
            raise Refused(f"oidc: error evaluating {what}: validation expression must return a boolean")
        if not holds:
            raise Refused(f"oidc: error evaluating {what}: validation expression '{text}' failed: {message}")


def _no_string(value: Any) -> str:
    return _unread(value, "string")


def _unread(value: Any, wanted: str) -> str:
    return f"json: cannot unmarshal {json_kind(value)} into Go value of type {wanted}"
