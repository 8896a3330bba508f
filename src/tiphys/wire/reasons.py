"""Why a connection failed, in Go's words: they end in messages that people know, and look for. Pure."""

from __future__ import annotations

import ssl
from typing import Final

from tiphys.wire.client import ConnectFailed
from tiphys.wire.peer_names import NameRefused

_DIALLED: Final = "dial tcp "
_NOT_TRUSTED: Final = (18, 19, 20, 21)
_EXPIRED: Final = 10
"""OpenSSL's verification codes."""


def reason_of(error: ConnectFailed, shown: str = "") -> str:
    """Return a failed connection's reason in the words of Go's TLS where it is the certificate's fault.

    ``shown`` is the address and port that somebody asked for, where another was taken in its place.
    """
    cause = error.__cause__
    where, colon, why = str(error).partition(": ")
    if shown and where.startswith(_DIALLED):
        where = f"{_DIALLED}{shown}"
    if isinstance(cause, ConnectionRefusedError):
        return f"{where}: connect: connection refused"
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
