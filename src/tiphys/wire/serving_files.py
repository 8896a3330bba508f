"""The certificates that a server shows and the authorities that it believes, as files have them.

Owns: reading them, the TLS context that they make, and looking whether they were written anew while it
serves: they are taken over for new connections, without a restart. Files that do not fit each other change
nothing.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from tiphys.apimachinery.dataclass import dataclass
from tiphys.wire import pki
from tiphys.wire.client_certificates import PROXIES, USERS, read_bundle
from tiphys.wire.file_signs import signs_of
from tiphys.wire.tls_options import TlsOptions

log = logging.getLogger(__name__)
_LOOK_S: Final = 2.0
Paths = tuple[Path, Path]
"""Of a certificate and its key."""


@dataclass(frozen=True, slots=True)
class NamedPair:
    """A certificate for clients that ask for one of these names; without names those that it bears."""

    paths: Paths
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Files:
    """Which files there are."""

    pair: Paths | None = None
    client_ca: Path | None = None
    proxies_ca: Path | None = None
    named: tuple[NamedPair, ...] = ()

    @property
    def paths(self) -> tuple[Path, ...]:
        pairs = [*([self.pair] if self.pair else []), *(one.paths for one in self.named)]
        authorities = (self.client_ca, self.proxies_ca)
        return (*(path for pair in pairs for path in pair), *filter(None, authorities))


@dataclass(frozen=True, slots=True)
class Held:
    """What the files hold."""

    pair: pki.KeyPair
    client_ca: bytes = b""
    proxies_ca: bytes = b""
    named: tuple[tuple[tuple[str, ...], pki.KeyPair], ...] = ()

    @property
    def authorities(self) -> bytes | None:
        """Those whose client certificates TLS lets through: of users and of front proxies."""
        parts = [pem.strip() + b"\n" for pem in (self.client_ca, self.proxies_ca) if pem]
        return b"".join(parts) or None


def named_pair(text: str) -> NamedPair:
    """Read ``cert,key[:name,...]``. Raises ValueError."""
    paths, _, names = text.partition(":")
    certificate, comma, key = paths.partition(",")
    if not (certificate and comma and key) or "," in key:
        raise ValueError("expected comma separated certificate and key file paths")
    wanted = tuple(name.strip().lower() for name in names.split(",") if name.strip())
    return NamedPair((Path(certificate), Path(key)), wanted)


def read(files: Files, own: Held) -> Held:
    """Return what files hold, and of ``own`` what stands in none. Raises OSError, ValueError."""
    named = []
    for one in files.named:
        pair = pki.KeyPair.read(*one.paths)
        named.append((one.names or _names_of(pair), pair))
    return Held(
        pki.KeyPair.read(*files.pair) if files.pair is not None else own.pair,
        read_bundle(USERS, files.client_ca) if files.client_ca is not None else own.client_ca,
        read_bundle(PROXIES, files.proxies_ca) if files.proxies_ca is not None else own.proxies_ca,
        tuple(named),
    )


def make_context(held: Held, tls: TlsOptions) -> ssl.SSLContext:
    """Return the context of new connections. Raises OSError (ssl.SSLError) for what does not fit."""
    context = _context(held.pair, held, tls)
    if held.named:
        others = [(names, _context(pair, held, tls)) for names, pair in held.named]

        def choose(connection: Any, name: str | None, _context: ssl.SSLContext) -> None:
            wanted = chosen(name or "", [names for names, _ in others])
            if wanted is not None:
                connection.context = others[wanted][1]

        context.sni_callback = choose
    return context


def chosen(name: str, named: list[tuple[str, ...]]) -> int | None:
    """Return which certificate is for a name: one with exactly it, then the first that covers it. Pure."""
    name = name.lower().rstrip(".")
    for at, names in enumerate(named):
        if name in names:
            return at
    for at, names in enumerate(named):
        if any(one.startswith("*.") and _covers(one, name) for one in names):
            return at
    return None


def _covers(wildcard: str, name: str) -> bool:
    return fnmatchcase(name, wildcard) and name.count(".") == wildcard.count(".")


def _context(pair: pki.KeyPair, held: Held, tls: TlsOptions) -> ssl.SSLContext:
    context = pki.server_context(pair, held.authorities)
    tls.apply(context)
    return context


def _names_of(pair: pki.KeyPair) -> tuple[str, ...]:
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = alternatives.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        names = []
    common = [str(one.value) for one in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return tuple(dict.fromkeys(one.lower() for one in [*common, *names]))


class ServingFiles:
    """Looks at the files again and again; ``take_over`` is given what holds from then on."""

    def __init__(
        self,
        files: Files,
        held: Held,
        tls: TlsOptions,
        take_over: Callable[[Held, ssl.SSLContext], Awaitable[None]],
    ) -> None:
        self._files = files
        self._held = held
        self._tls = tls
        self._take_over = take_over
        self._seen = signs_of(self._files.paths)

    async def run(self) -> None:
        """Look until cancelled; return at once when there are no files."""
        while self._files.paths:
            await asyncio.sleep(_LOOK_S)
            await self.look()

    async def show(self, pair: pki.KeyPair) -> None:
        """Take over a pair that stands in no file. Raises OSError where it does not fit."""
        held = replace(self._held, pair=pair)
        context = await asyncio.to_thread(make_context, held, self._tls)
        self._held = held
        await self._take_over(held, context)

    async def believe(self, client_ca: bytes | None, proxies_ca: bytes | None = None) -> None:
        """Take over authorities (PEM) that stand in no file; None: they stay. Raises ValueError."""
        held = replace(
            self._held,
            client_ca=self._held.client_ca if client_ca is None else client_ca,
            proxies_ca=self._held.proxies_ca if proxies_ca is None else proxies_ca,
        )
        context = await asyncio.to_thread(make_context, held, self._tls)
        self._held = held
        await self._take_over(held, context)

    async def look(self) -> bool:
        """Take over what was written anew; tell whether it was."""
        signs = signs_of(self._files.paths)
        if signs == self._seen:
            return False
        try:
            held = await asyncio.to_thread(read, self._files, self._held)
            context = await asyncio.to_thread(make_context, held, self._tls)
        except (OSError, ValueError) as error:
            log.warning("certificates not taken over error=%s", error)
            return False  # the other file of a pair may be written yet
        self._seen = signs
        if held == self._held:
            return False
        self._held = held
        await self._take_over(held, context)
        log.info("certificates taken over")
        return True
