"""Service account tokens at the door: what they are bound to must live, and be what it was.

Owns: the checks after the signature, and the record of when tokens that lie in Secrets were last used.
Source: KEP-1205 (bound tokens), KEP-2799 (tokens in Secrets), KEP-4193 (node binding).
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

from tiphys.apimachinery.clock import Clock, parse_time
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.authn.lookup import Lookup
from tiphys.apiserver.authn.serviceaccount import TokenKeys, VerifiedToken
from tiphys.apiserver.authn.tokens import Authenticated, Refused

LAST_USED = "kubernetes.io/legacy-token-last-used"
INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since"
_INVALIDATED = "service account token has been invalidated"
_LEEWAY = timedelta(seconds=60)
"""What was deleted this long ago is gone, though a finalizer or a grace period may hold it."""

MarkUsed = Callable[[Object, str], Awaitable[None]]
"""(Secret, date) -> writes into the Secret when its token was last used."""


class ServiceAccountTokens:
    """Authenticates tokens of ``TokenKeys``."""

    def __init__(
        self,
        keys: TokenKeys,
        api_audiences: tuple[str, ...],
        lookup: Lookup,
        clock: Clock,
        mark_used: MarkUsed | None = None,
    ) -> None:
        self._keys = keys
        self._own = api_audiences
        self._lookup = lookup
        self._clock = clock
        self._mark_used = mark_used

    async def authenticate_token(self, token: str, audiences: tuple[str, ...]) -> Authenticated | None:
        verified = self._keys.verify(token, self._clock.now())
        if verified is None:
            return None
        named = verified.audiences or (self._own if verified.legacy else ())
        common = tuple(audience for audience in named if audience in audiences)
        if not common:
            raise Refused(
                f"token audiences {_quoted(named)} is invalid for the target audiences {_quoted(audiences)}"
            )
        await self._check_account(verified)
        if secret := verified.bound("secret"):
            await self._check_secret(verified, secret, token)
        if pod := verified.bound("pod"):
            await self._check_bound("pods", verified.namespace, pod, "pod")
        elif node := verified.bound("node"):
            await self._check_bound("nodes", "", node, "node")
        return Authenticated(verified.user(), common, self._annotations(verified))

    async def close(self) -> None:
        return

    def reload(self) -> None:
        return

    def _annotations(self, token: VerifiedToken) -> tuple[tuple[str, str], ...]:
        """Return what the audit log should know: tokens that live on borrowed time."""
        subject = str(token.claims.get("sub", ""))
        if token.legacy:
            return (("authentication.k8s.io/legacy-token", subject),)
        warn_after = token.claims["kubernetes.io"].get("warnafter")
        late_s = int(self._clock.now().timestamp()) - int(warn_after) if warn_after else 0
        if late_s <= 0:
            return ()
        text = f"subject: {subject}, seconds after warning threshold: {late_s}"
        return (("authentication.k8s.io/stale-token", text),)

    async def _check_account(self, token: VerifiedToken) -> None:
        namespace, name = token.namespace, token.account
        account = await self._lookup("serviceaccounts", namespace, name)
        if account is None:
            raise Refused(f'serviceaccounts "{name}" not found')
        uid, claimed = account["metadata"].get("uid", ""), token.bound("serviceaccount").get("uid", "")
        if uid != claimed:
            raise Refused(f"service account UID ({uid}) does not match claim ({claimed})")
        if self._is_gone(account):
            raise Refused(f"service account {namespace}/{name} has been deleted")

    async def _check_bound(self, plural: str, namespace: str, bound: Mapping[str, Any], what: str) -> Object:
        found = await self._lookup(plural, namespace, str(bound["name"]))
        if found is None or self._is_gone(found):
            raise Refused(_INVALIDATED)
        uid, claimed = found["metadata"].get("uid", ""), bound.get("uid", "")
        if "uid" in bound and uid != claimed:
            raise Refused(f"{what} UID ({uid}) does not match service account {what} ref claim ({claimed})")
        return found

    async def _check_secret(self, token: VerifiedToken, bound: Mapping[str, Any], text: str) -> None:
        secret = await self._check_bound("secrets", token.namespace, bound, "secret")
        meta = secret["metadata"]
        if token.legacy and not hmac.compare_digest(_stored_token(secret), text.encode()):
            raise Refused("service account token does not match server's copy")
        labels = meta.get("labels") or {}
        if labels.get(INVALID_SINCE):
            raise Refused(
                f"the token in secret {token.namespace}/{meta['name']} for service account "
                f"{token.namespace}/{token.account} has been marked invalid. Use tokens from the "
                "TokenRequest API or manually created secret-based tokens, or remove the "
                f"'{INVALID_SINCE}' label from the secret to temporarily allow use of this token"
            )
        today = self._clock.now().strftime("%Y-%m-%d")
        of_type = secret.get("type") == "kubernetes.io/service-account-token"
        if self._mark_used is not None and of_type and labels.get(LAST_USED) != today:
            await self._mark_used(secret, today)

    def _is_gone(self, obj: Object) -> bool:
        deleted = obj["metadata"].get("deletionTimestamp")
        return bool(deleted) and parse_time(deleted) < self._clock.now() - _LEEWAY


def _stored_token(secret: Object) -> bytes:
    try:
        return base64.b64decode((secret.get("data") or {}).get("token") or "")
    except (binascii.Error, ValueError):
        return b""


def _quoted(values: tuple[str, ...]) -> str:
    return "[" + " ".join(f'"{value}"' for value in values) + "]"
