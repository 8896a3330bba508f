"""The issuers with which TLS has verified a client's certificate, for handlers that trust several of them.

Owns: getting them from OpenSSL, and remembering them for sessions that are resumed: there it has none.
"""

from __future__ import annotations

import ssl
from collections import OrderedDict
from typing import Any, Final

_DER: Final = 2
_MAX_REMEMBERED: Final = 4096


class PeerChains:
    """One server's clients."""

    def __init__(self) -> None:
        self._remembered: OrderedDict[bytes, tuple[bytes, ...]] = OrderedDict()

    def issuers(self, tls: ssl.SSLSocket | ssl.SSLObject, leaf: bytes) -> tuple[bytes, ...]:
        """Return the certificates (DER) that lead from a client's to one that is trusted, in order."""
        chain = verified_chain(tls)
        if not chain:
            return self._remembered.get(leaf, ())
        issuers = tuple(chain[1:])
        self._remembered[leaf] = issuers
        self._remembered.move_to_end(leaf)
        if len(self._remembered) > _MAX_REMEMBERED:
            self._remembered.popitem(last=False)
        return issuers


def verified_chain(tls: Any) -> list[bytes]:
    """Return the peer's verified certificates, its own first; none for a session that was resumed."""
    if hasattr(tls, "get_verified_chain"):  # public from Python 3.13 on
        return list(tls.get_verified_chain() or ())
    inner = getattr(tls, "_sslobj", None)
    found = inner.get_verified_chain() if inner is not None else None
    return [certificate.public_bytes(_DER) for certificate in found or ()]
