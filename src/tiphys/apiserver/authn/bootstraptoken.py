"""Bootstrap tokens: Secrets of kube-system by which a new node, or a helper of it, introduces itself.

Source: the "Authenticating with Bootstrap Tokens" page.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Iterable
from datetime import datetime

from tiphys.apimachinery import go_time
from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.families import Metric
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.authn.lookup import Lookup
from tiphys.apiserver.authn.tokens import Authenticated
from tiphys.apiserver.authn.user import User

TYPE = "bootstrap.kubernetes.io/token"
_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})\Z")
_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]\Z")
_DEFAULT_GROUP = "system:bootstrappers"


class BootstrapTokens:
    """Reads the Secret of each token anew: what is deleted or expired ceases at once."""

    def __init__(self, lookup: Lookup, clock: Clock) -> None:
        self._lookup = lookup
        self._clock = clock

    async def authenticate_token(self, token: str, audiences: tuple[str, ...]) -> Authenticated | None:
        found = _TOKEN.match(token)
        if found is None:
            return None
        secret = await self._lookup("secrets", "kube-system", f"bootstrap-token-{found[1]}")
        user = None if secret is None else user_of(secret, found[1], found[2], self._clock.now())
        return Authenticated(user) if user is not None else None

    async def close(self) -> None:
        return

    async def run(self) -> None:
        return

    async def reload(self) -> None:
        return

    def collect(self) -> Iterable[Metric]:
        return ()


def user_of(secret: Object, token_id: str, token_secret: str, now: datetime) -> User | None:
    """Return whom a token Secret lets in, None when it does not fit or is no longer good. Pure."""
    if secret["metadata"].get("deletionTimestamp") or secret.get("type") != TYPE:
        return None
    data = {name: _decoded(value) for name, value in (secret.get("data") or {}).items()}
    stored = data.get("token-secret", "")
    if not stored or not hmac.compare_digest(stored.encode(), token_secret.encode()):
        return None
    if data.get("token-id") != token_id or data.get("usage-bootstrap-authentication") != "true":
        return None
    if has_expired(data.get("expiration", ""), now):
        return None
    named = data.get("auth-extra-groups", "")
    extra = named.split(",") if named else []
    if any(_GROUP.match(group) is None for group in extra):
        return None
    groups = tuple(sorted({_DEFAULT_GROUP, *extra}))
    return User(f"system:bootstrap:{token_id}", groups=groups)


def has_expired(expiration: str, now: datetime) -> bool:
    """Tell whether a token's time is over; what cannot be read has expired."""
    if not expiration:
        return False
    try:
        return go_time.parse(expiration) <= now
    except go_time.TimeError:
        return True


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value).decode(errors="replace")  # what is there must not count as missing
    except binascii.Error:
        return ""
