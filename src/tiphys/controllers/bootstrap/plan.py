"""What becomes of bootstrap tokens, and the signatures of ConfigMap ``cluster-info`` that they make. Pure.

Source: the "Authenticating with Bootstrap Tokens" page; RFC 7515, detached content.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Iterable
from dataclasses import field
from datetime import datetime

from tiphys.apimachinery import go_time
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object

TYPE = "bootstrap.kubernetes.io/token"
SIGNATURE = "jws-kubeconfig-"
_KUBECONFIG = "kubeconfig"
_ID = re.compile(r"[a-z0-9]{6}\Z")
_SECRET = re.compile(r"[a-z0-9]{16}\Z")


@dataclass(frozen=True, slots=True)
class Cleaning:
    """``delete`` now, or look again ``after_s``; None: it never ends."""

    delete: bool = False
    after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """A token that signs."""

    id: str
    secret: str = field(repr=False)


def plan_cleaning(secret: Object, now: datetime) -> Cleaning:
    """Tell when a token's Secret is to go; one whose expiry cannot be read goes at once."""
    expiration = _data(secret).get("expiration", "")
    if not expiration:
        return Cleaning()
    try:
        left_s = (go_time.parse(expiration) - now).total_seconds()
    except go_time.TimeError:
        return Cleaning(delete=True)
    return Cleaning(delete=True) if left_s <= 0 else Cleaning(after_s=left_s)


def signing_token(secret: Object, now: datetime) -> Token | None:
    """Return the token of a Secret that may sign, None for any other Secret."""
    meta, data = secret["metadata"], _data(secret)
    token_id, token_secret = data.get("token-id", ""), data.get("token-secret", "")
    fits = (
        secret.get("type") == TYPE
        and not meta.get("deletionTimestamp")
        and meta["name"] == f"bootstrap-token-{token_id}"
        and _ID.match(token_id)
        and _SECRET.match(token_secret)
        and data.get("usage-bootstrap-signing") == "true"
        and not plan_cleaning(secret, now).delete
    )
    return Token(token_id, token_secret) if fits else None


def sign(token: Token, content: str) -> str:
    """Return the detached signature of a content: header and signature, with nothing between."""
    header = json.dumps({"alg": "HS256", "kid": token.id}, separators=(",", ":"))
    signed = f"{_encode(header.encode())}.{_encode(content.encode())}"
    signature = hmac.new(token.secret.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{_encode(header.encode())}..{_encode(signature)}"


def plan_signatures(config_map: Object, tokens: Iterable[Token]) -> dict[str, str] | None:
    """Return what the ConfigMap's data must be, None when it is so already or has nothing to sign."""
    data: dict[str, str] = config_map.get("data") or {}
    content = data.get(_KUBECONFIG)
    if not content:
        return None
    kept = {key: value for key, value in data.items() if not key.startswith(SIGNATURE)}
    wanted = {**kept, **{f"{SIGNATURE}{token.id}": sign(token, content) for token in tokens}}
    return None if wanted == data else wanted


def _data(secret: Object) -> dict[str, str]:
    found = {}
    for key, value in (secret.get("data") or {}).items():
        try:
            found[key] = base64.b64decode(value).decode(errors="replace")
        except binascii.Error:
            continue
    return found


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
