"""Asking the cluster for a certificate: a new key, a CertificateSigningRequest, and the wait for its answer.

Approval and signature are the cluster's. Called by ``credentials`` (client certificates) and ``serving``.
Source: "Certificates and Certificate Signing Requests".
"""

from __future__ import annotations

import base64
import ipaddress
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import StatusError, TiphysError
from tiphys.apimachinery.meta import Object
from tiphys.client.kinds import CERTIFICATE_SIGNING_REQUESTS
from tiphys.client.rest import Client
from tiphys.client.transport import TransportError
from tiphys.wire import pki

RENEW_AT: Final = (0.7, 0.9)
"""The share of a certificate's life after which it is renewed lies between these, by chance."""
REFUSED_S: Final = 60.0
"""Before the next request is made after one that was refused."""
log = logging.getLogger(__name__)
_LOOK_S: Final = 1.0
_RETRY_S: Final = 10.0
_PATIENCE_S: Final = 900.0


class Refused(TiphysError):
    """The cluster denied or failed a certificate request, or left it without an answer."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with its key (PEM)."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a node asks for: whose signature, for what, and the names a server has."""

    node_name: str
    signer: str
    usages: tuple[str, ...]
    hosts: tuple[str, ...] = ()


async def until_answered(client: Client, wanted: Wanted, sleep: Callable[[float], Awaitable[None]]) -> Pair:
    """Ask until the server can be reached. Raises Refused."""
    while True:
        try:
            return await _ask(client, wanted, sleep)
        except (StatusError, TransportError) as error:
            log.warning("certificate not asked for, trying again error=%s", error)
            await sleep(_RETRY_S)


async def _ask(client: Client, wanted: Wanted, sleep: Callable[[float], Awaitable[None]]) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    made = await client.create(CERTIFICATE_SIGNING_REQUESTS, _request(key, wanted))
    name = made["metadata"]["name"]
    log.info("certificate request waits for approval request=%s", name)
    left = int(_PATIENCE_S / _LOOK_S)
    while left:
        status = made.get("status") or {}
        if status.get("certificate"):
            return Pair(base64.b64decode(status["certificate"]), pki.private_pem(key))
        for condition in status.get("conditions") or ():
            if condition["type"] in ("Denied", "Failed"):
                raise Refused(
                    f"certificate signing request is {condition['type'].lower()}, "
                    f"reason: {condition.get('reason', '')}, message: {condition.get('message', '')}"
                )
        await sleep(_LOOK_S)
        left -= 1
        made = await client.get(CERTIFICATE_SIGNING_REQUESTS, name)
    raise Refused(f"certificate signing request {name} was not answered in time")


def _request(key: ec.EllipticCurvePrivateKey, wanted: Wanted) -> Object:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:nodes"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"system:node:{wanted.node_name}"),
        ]
    )
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if wanted.hosts:
        names = [_general_name(host) for host in wanted.hosts]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"generateName": "csr-"},
        "spec": {
            "request": base64.b64encode(pem).decode(),
            "signerName": wanted.signer,
            "usages": list(wanted.usages),
        },
    }


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def keep_pair(folder: Path, prefix: str, pair: Pair, now: datetime) -> Path:
    """Keep a pair. ``<prefix>-current.pem`` (returned) points at the newest, at no moment at nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{prefix}-{now:%Y-%m-%d-%H-%M-%S}.pem"
    path.touch(mode=0o600)
    path.write_bytes(pair.certificate.rstrip() + b"\n" + pair.key)
    link, fresh = folder / f"{prefix}-current.pem", folder / f"{prefix}-current.pem.new"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(path)
    fresh.rename(link)
    return link


def renewal_s(pem: bytes, now: datetime, share: float) -> float:
    """Return how long until this share of a certificate's life is over."""
    certificate = x509.load_pem_x509_certificate(pem)
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    due = certificate.not_valid_before_utc + life * share
    return max((due - now).total_seconds(), 0.0)


def is_valid(pem: bytes, now: datetime) -> bool:
    """Say whether there is a certificate that has not ended."""
    if not pem:
        return False
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError:
        return False
    return certificate.not_valid_after_utc - timedelta(seconds=1) > now


def names_all(pem: bytes, hosts: Sequence[str]) -> bool:
    """Say whether a certificate is one for these hosts, whatever else it is for."""
    found = x509.load_pem_x509_certificate(pem).extensions
    try:
        names = found.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return not hosts
    return {_general_name(host) for host in hosts} <= set(names)
