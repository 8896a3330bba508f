"""Bearer tokens as requests carry them: in a header, or as a websocket's subprotocol, as browsers must.

Owns: reading them, in upstream's words where they cannot be read, and taking them out of what is passed on.
What a token is worth, each server asks elsewhere.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Final

from tiphys.wire.message import values_of

PROTOCOLS: Final = "sec-websocket-protocol"
EXTRA_SPACE: Final = (
    "the provided Authorization header contains extra space before the bearer token, and is ignored"
)
_PREFIX: Final = "base64url.bearer.authorization.k8s.io."


def header_token(headers: Mapping[str, str]) -> str:
    """Return the token of the first ``Authorization`` header, empty without one: the word after Bearer."""
    scheme, _, rest = _first(headers).partition(" ")
    return rest.partition(" ")[0] if scheme.lower() == "bearer" else ""


def has_extra_space(headers: Mapping[str, str]) -> bool:
    """Tell whether there would be a token but for a space too many."""
    scheme, _, rest = _first(headers).partition(" ")
    return scheme.lower() == "bearer" and rest.startswith(" ")


def _first(headers: Mapping[str, str]) -> str:
    values = values_of(headers, "authorization")
    return values[0].strip() if values else ""


def websocket_token(headers: Mapping[str, str]) -> str:
    """Return the token among a websocket's subprotocols, empty without one. Raises ValueError."""
    offered = headers.get(PROTOCOLS, "")
    if _PREFIX not in offered or headers.get("upgrade", "").lower() != "websocket":
        return ""
    if "upgrade" not in headers.get("connection", "").lower():
        return ""
    names = [name.strip() for name in offered.split(",")]
    shown = [name.removeprefix(_PREFIX) for name in names if name.startswith(_PREFIX)]
    if len(shown) > 1:
        raise ValueError("multiple base64.bearer.authorization tokens specified")
    token = _decoded(shown[0]) if shown else ""
    if token and len(names) == 1:
        raise ValueError("missing additional subprotocol")
    return token


def _decoded(shown: str) -> str:
    if "=" in shown:
        raise ValueError("invalid base64.bearer.authorization token encoding")
    try:
        raw = base64.b64decode(shown + "=" * (-len(shown) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("invalid base64.bearer.authorization token encoding") from None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise ValueError("invalid base64.bearer.authorization token") from None


def other_protocols(offered: str) -> str:
    """Return the subprotocols of a websocket that are no token."""
    if _PREFIX not in offered:
        return offered
    names = [name.strip() for name in offered.split(",")]
    return ",".join(name for name in names if not name.startswith(_PREFIX))
