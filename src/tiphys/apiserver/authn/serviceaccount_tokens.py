"""Service account tokens at the door: what they are bound to must live, and be what it was.

Owns: the checks after the signature of tokens that expire; those that lie in Secrets are ``legacy_tokens``'.
Source: KEP-1205 (bound tokens), KEP-4193 (node binding).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from tiphys.apimachinery.clock import Clock, parse_time
from tiphys.apimachinery.families import Metric
from tiphys.apimachinery.go_text import quoted_list
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.authn.legacy_tokens import INVALIDATED, LEGACY, MarkUsed, SecretTokens
from tiphys.apiserver.authn.lookup import Lookup
from tiphys.apiserver.authn.serviceaccount import TokenKeys, VerifiedToken
from tiphys.apiserver.authn.token_uses import TokenUses
from tiphys.apiserver.authn.tokens import Authenticated, Refused

_LEEWAY = timedelta(seconds=60)
"""What was deleted this long ago is gone, though a finalizer or a grace period may hold it."""


class ServiceAccountTokens:
    """Authenticates tokens of ``TokenKeys``."""

    def __init__(
        self,
        keys: TokenKeys,
        api_audiences: tuple[str, ...],
        lookup: Lookup,
        clock: Clock,
        mark_used: MarkUsed | None = None,
        *,
        looks_up: bool = True,
    ) -> None:
        """``looks_up``: tokens that lie in Secrets must still lie there."""
        self._keys = keys
        self._own = api_audiences
        self._lookup = lookup
        self._clock = clock
        self._looks_up = looks_up
        self._uses = TokenUses()
        self._in_secrets = SecretTokens(lookup, clock, mark_used, self._uses)

    async def authenticate_token(self, token: str, audiences: tuple[str, ...]) -> Authenticated | None:
        verified = await self._keys.check(token)
        if verified is None:
            return None
        if verified.audiences:
            return await self._checked(verified, token, verified.audiences, audiences)
        self._uses.legacy += 1
        note = (LEGACY, verified.subject)
        try:
            found = await self._checked(verified, token, self._own, audiences)
        except Refused as error:
            raise Refused(str(error), (note, *error.annotations)) from error
        return replace(found, annotations=(note, *found.annotations))

    async def _checked(
        self, verified: VerifiedToken, token: str, named: tuple[str, ...], audiences: tuple[str, ...]
    ) -> Authenticated:
        """Return whom a token names that is for these audiences. Raises Refused."""
        common = tuple(audience for audience in named if audience in audiences)
        if not common:
            raise Refused(
                f"token audiences {quoted_list(named)} is invalid for the target audiences "
                f"{quoted_list(audiences)}"
            )
        if verified.legacy:
            verified.check_legacy()
        if verified.legacy and not self._looks_up:
            return Authenticated(verified.user(), common)
        if verified.legacy:
            notes, warnings = await self._in_secrets.check(verified, token)
            return Authenticated(verified.user(), common, notes, warnings=warnings)
        verified.check_times(self._clock.now())
        await self._check_account(verified)
        if secret := verified.bound("secret"):
            await self._check_bound("secrets", verified.namespace, secret, "secret")
        if pod := verified.bound("pod"):
            await self._check_bound("pods", verified.namespace, pod, "pod")
        elif node := verified.bound("node"):
            await self._check_bound("nodes", "", node, "node")
        return Authenticated(verified.user(), common, self._annotations(verified))

    async def close(self) -> None:
        return

    async def run(self) -> None:
        return

    async def reload(self) -> None:
        return

    def collect(self) -> Iterable[Metric]:
        return self._uses.collect()

    def _annotations(self, token: VerifiedToken) -> tuple[tuple[str, str], ...]:
        """Return what the audit log should know: tokens that live on borrowed time."""
        warn_after = token.claims["kubernetes.io"].get("warnafter")
        if not warn_after:
            return ()
        late_s = int(self._clock.now().timestamp()) - int(warn_after)
        if late_s <= 0:
            self._uses.valid += 1
            return ()
        self._uses.stale += 1
        text = f"subject: {token.subject}, seconds after warning threshold: {late_s}"
        return (("authentication.k8s.io/stale-token", text),)

    async def _check_account(self, token: VerifiedToken) -> None:
        namespace, name = token.namespace, token.account
        account = await self._lookup("serviceaccounts", namespace, name) if name else None
        if account is None:
            raise Refused(f'serviceaccounts "{name}" not found')
        uid, claimed = account["metadata"].get("uid", ""), token.bound("serviceaccount").get("uid", "")
        if uid != claimed:
            raise Refused(f"service account UID ({uid}) does not match claim ({claimed})")
        if self._is_gone(account):
            raise Refused(f"service account {namespace}/{name} has been deleted")

    async def _check_bound(self, plural: str, namespace: str, bound: Mapping[str, Any], what: str) -> None:
        found = await self._lookup(plural, namespace, str(bound["name"]))
        if found is None:
            raise Refused(INVALIDATED)
        uid, claimed = found["metadata"].get("uid", ""), bound.get("uid", "")
        if uid != claimed:
            raise Refused(f"{what} UID ({uid}) does not match service account {what} ref claim ({claimed})")
        if self._is_gone(found):
            raise Refused(INVALIDATED)

    def _is_gone(self, obj: Object) -> bool:
        deleted = obj["metadata"].get("deletionTimestamp")
        return bool(deleted) and parse_time(deleted) < self._clock.now() - _LEEWAY
