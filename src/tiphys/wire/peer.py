"""The certificates that a client has shown in its handshake, as it sent them. Nobody has verified them yet.

Owns: getting them from OpenSSL, and remembering those of resumed sessions: there it has the first only.
``client_certificates`` says what they are worth.
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

    def shown(self, tls: ssl.SSLSocket | ssl.SSLObject) -> tuple[bytes, ...]:
        """Return the client's certificate and those that it sent with it (DER); empty: it showed none."""
        leaf = tls.getpeercert(binary_form=True)
        if leaf is None:
            return ()
        sent = _sent_chain(tls)
        if len(sent) < 2:
            # Who resumes a session holds the key of its certificate, as who began it did.
            return self._remembered.get(leaf, (leaf,))
        chain = (leaf, *sent[1:])
        self._remembered[leaf] = chain
        self._remembered.move_to_end(leaf)
        if len(self._remembered) > _MAX_REMEMBERED:
            self._remembered.popitem(last=False)
        return chain


def _sent_chain(tls: Any) -> list[bytes]:
    if hasattr(tls, "get_unverified_chain"):  # public from Python 3.13 on
        return list(tls.get_unverified_chain() or ())
    inner = getattr(tls, "_sslobj", None)
    found = inner.get_unverified_chain() if inner is not None else None
    return [certificate.public_bytes(_DER) for certificate in found or ()]
