"""Which TLS a server speaks: upstream's names of versions, cipher suites and curves, as OpenSSL knows them.

Owns: the names, their refusals, and which cipher is preferred. Called by the commands, which
read them from flags.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Final

from tiphys.apimachinery.dataclass import dataclass
from tiphys.wire import openssl

VERSIONS: Final = {
    "VersionTLS10": ssl.TLSVersion.TLSv1,
    "VersionTLS11": ssl.TLSVersion.TLSv1_1,
    "VersionTLS12": ssl.TLSVersion.TLSv1_2,
    "VersionTLS13": ssl.TLSVersion.TLSv1_3,
}
_SUITES: Final = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256": "ECDHE-ECDSA-AES128-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256": "ECDHE-RSA-AES128-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256": "AES128-SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
}
_OF_13: Final = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
"""Always on with TLS 1.3: naming them changes nothing, as with upstream."""
_CURVES: Final = {
    23: "P-256",
    24: "P-384",
    25: "P-521",
    29: "X25519",
    4587: "SecP256r1MLKEM768",
    4588: "X25519MLKEM768",
    4589: "SecP384r1MLKEM1024",
}
"""By the numbers that TLS gives them, as flags do: those that Go has. OpenSSL may have fewer."""
_LAST_CURVE: Final = 65535

HTTP2: Final = ("h2", "http/1.1")
HTTP1: Final = ("http/1.1",)


class TlsOptionError(ValueError):
    """A name that means nothing. Its text is upstream's."""


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """``ciphers`` are OpenSSL's names for TLS up to 1.2; empty: its own choice."""

    minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
    ciphers: tuple[str, ...] = ()
    protocols: tuple[str, ...] = HTTP2
    """What clients may choose from, the best first."""
    curves: tuple[str, ...] = ()
    """By which keys are agreed on; empty: OpenSSL's own choice."""

    def apply(self, context: ssl.SSLContext) -> None:
        """Restrict a context to these. Raises TlsOptionError where OpenSSL has none of the curves."""
        context.minimum_version = self.minimum
        context.set_alpn_protocols(list(self.protocols))
        if self.ciphers:
            context.set_ciphers(":".join(_fastest_first(self.ciphers)))
        if self.curves and not openssl.agree_by(context, self.curves):
            raise TlsOptionError(f"OpenSSL has none of the curves {', '.join(self.curves)}")


def prefer_fast_ciphers(context: ssl.SSLContext) -> None:
    """Prefer AES-128, as Go's servers do, unless a client likes ChaCha20 best: a large answer takes 5 % less.

    OpenSSL itself prefers AES-256. All ciphers that a context has are good ones.
    """
    if openssl.prefer_suites(context, _OF_13):
        context.set_ciphers(":".join(_fastest_first(one["name"] for one in context.get_ciphers())))
    else:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE  # the client knows which is the fastest for it


def _fastest_first(ciphers: Iterable[str]) -> list[str]:
    """Return OpenSSL's names with those of AES-128-GCM first, as Go's order does whatever was configured."""
    return sorted(ciphers, key=lambda name: "AES128-GCM" not in name)


def read(
    minimum: str,
    suites: Iterable[str],
    protocols: tuple[str, ...] = HTTP2,
    curves: Iterable[int] = (),
) -> TlsOptions:
    """Return what upstream's names and numbers mean; an empty version is TLS 1.2. Raises TlsOptionError."""
    if minimum and minimum not in VERSIONS:
        raise TlsOptionError(f'unknown tls version "{minimum}"')
    ciphers = []
    for name in suites:
        if name in _SUITES:
            ciphers.append(_SUITES[name])
        elif name not in _OF_13:
            raise TlsOptionError(f"Cipher suite {name} not supported or doesn't exist")
    version = VERSIONS[minimum] if minimum else ssl.TLSVersion.TLSv1_2
    return TlsOptions(version, tuple(dict.fromkeys(ciphers)), protocols, _curves(curves))


def _curves(numbers: Iterable[int]) -> tuple[str, ...]:
    names: dict[int, str] = {}
    for number in numbers:
        if not 0 < number <= _LAST_CURVE:
            raise TlsOptionError(f"curve preference {number} is out of range (must be 1-{_LAST_CURVE})")
        if number in names:
            raise TlsOptionError(f"duplicate curve preference {number}")
        if number not in _CURVES:
            raise TlsOptionError(f"curve preference {number} is not supported by the current Go version")
        names[number] = _CURVES[number]
    return tuple(names.values())
