"""Why a connection failed, in Go's words: they end in messages that people know, and look for. Pure."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from typing import Final

from tiphys.wire.client import ConnectFailed
from tiphys.wire.peer_names import NameRefused

_DIALLED: Final = "dial tcp "
_NOT_TRUSTED: Final = (18, 19, 20, 21)
_EXPIRED: Final = 10
"""OpenSSL's verification codes."""


_NO_WAY: Final = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT)
_NO_NAME: Final = {socket.EAI_AGAIN: "server misbehaving"}
_NO_TLS: Final = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE")
"""What OpenSSL says of a peer that speaks, but not TLS."""


def reason_of(error: ConnectFailed, shown: str = "", *, of_client: bool = False) -> str:
    """Return a failed connection's reason in the words of Go's TLS where it is the certificate's fault.

    ``shown`` is the address and port that somebody asked for, where another was taken in its place.
    ``of_client``: upstream asks by an ``http.Client``, which has a text of its own for peers without TLS.
    """
    cause = error.__cause__
    where, colon, why = str(error).partition(": ")
    if shown and where.startswith(_DIALLED):
        where = f"{_DIALLED}{shown}"
    if isinstance(cause, socket.gaierror | UnicodeError):
        host = where.removeprefix(_DIALLED).rpartition(":")[0]
        return f"dial tcp: lookup {host}: {_NO_NAME.get(getattr(cause, 'errno', 0), 'no such host')}"
    if isinstance(cause, OSError) and cause.errno in _NO_WAY:
        return f"{where}: connect: {os.strerror(cause.errno).lower()}"
    if isinstance(cause, ssl.SSLError) and cause.reason in _NO_TLS:
        if of_client:
            return "http: server gave HTTP response to HTTPS client"
        return "tls: first record does not look like a TLS handshake"
    return certificate_reason(cause) or f"{where}{colon}{why}"


def certificate_reason(cause: BaseException | None) -> str:
    """Return what is wrong with a certificate in the words of Go's TLS; empty where it is something else."""
    if isinstance(cause, NameRefused):
        return f"tls: failed to verify certificate: {cause}"
    if isinstance(cause, ssl.SSLCertVerificationError):
        prefix = "tls: failed to verify certificate: x509: certificate"
        if cause.verify_code in _NOT_TRUSTED:
            return f"{prefix} signed by unknown authority"
        if cause.verify_code == _EXPIRED:
            return f"{prefix} has expired or is not yet valid"
        return f"tls: failed to verify certificate: {cause.verify_message}"
    return ""
