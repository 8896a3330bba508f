"""The kubelet's client certificate: asked for with a bootstrap kubeconfig, renewed before it ends.

Owns the folder of certificates: each is a file ``kubelet-client-<time>.pem`` with its key, and
``kubelet-client-current.pem`` points at the one in use, as upstream's kubelet has it: each finds the other's.
Approval and signature are the cluster's. Called by ``cmd.kubelet``.
Source: "TLS bootstrapping", "Certificates and Certificate Signing Requests".
"""

from __future__ import annotations

import asyncio
import base64
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tiphys.apimachinery.clock import Clock, RealClock
from tiphys.apimachinery.errors import StatusError, TiphysError
from tiphys.apimachinery.meta import Object
from tiphys.client import kubeconfig
from tiphys.client.kinds import CERTIFICATE_SIGNING_REQUESTS
from tiphys.client.kubeconfig import ClientConfig
from tiphys.client.rest import Client
from tiphys.client.transport import HttpTransport, TransportError

log = logging.getLogger(__name__)
SIGNER: Final = "kubernetes.io/kube-apiserver-client-kubelet"
CURRENT: Final = "kubelet-client-current.pem"
_LOOK_S: Final = 1.0
_RETRY_S: Final = 10.0
_PATIENCE_S: Final = 900.0
_RENEW_AT: Final = (0.7, 0.9)


class Refused(TiphysError):
    """The cluster denied or failed a certificate request, or left it without an answer."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """Where credentials are, and whether to renew them. ``bootstrap``: a kubeconfig, empty for none."""

    kubeconfig: Path
    bootstrap: str = ""
    folder: Path = Path("/var/lib/kubelet/pki")
    renew: bool = False


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with its key (PEM)."""

    certificate: bytes
    key: bytes


class Credentials:
    """``obtain`` makes sure that there are some; ``keep`` renews them until cancelled."""

    def __init__(
        self,
        rotation: Rotation,
        node_name: str,
        clock: Clock | None = None,
        *,
        share: Callable[[float, float], float] = random.uniform,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._rotation = rotation
        self._node_name = node_name
        self._clock = clock or RealClock()
        self._share = share
        self._sleep = sleep

    async def obtain(self) -> ClientConfig:
        """Return how to reach the API server, asking for a certificate where there is none that works.

        Raises ConfigError, Refused.
        """
        rotation = self._rotation
        if rotation.bootstrap and not self._usable():
            config = kubeconfig.load(rotation.bootstrap)
            log.info("no certificate yet, asking for one node=%s", self._node_name)
            client = Client(config.transport(), user_agent="kubelet/v1.36.0 (linux) tiphys")
            try:
                pair = await self._until_answered(client)
            finally:
                await client.close()
            self._write_config(config, self._write(pair))
        found = kubeconfig.load(rotation.kubeconfig)
        current = rotation.folder / CURRENT
        if rotation.renew and _valid(_read(current), self._clock.now()):
            pem = _read(current)
            return replace(found, cert_pem=pem, key_pem=pem)
        return found

    async def keep(self, client: Client, config: ClientConfig) -> None:
        """Renew the certificate at some point of the last third of its life, again and again."""
        pem = config.cert_pem
        while pem:
            await self._sleep(self._wait_s(pem))
            pair = await self._until_answered(client)
            self._write(pair)
            if isinstance(client.transport, HttpTransport):
                client.transport.renew(pair.certificate, pair.key)
            log.info("certificate renewed node=%s", self._node_name)
            pem = pair.certificate

    def _usable(self) -> bool:
        """Say whether the kubeconfig is there, with a certificate that has not ended or other credentials."""
        try:
            config = kubeconfig.load(self._rotation.kubeconfig)
        except kubeconfig.ConfigError:
            return False
        return not config.cert_pem or _valid(config.cert_pem, self._clock.now())

    def _wait_s(self, pem: bytes) -> float:
        certificate = x509.load_pem_x509_certificate(pem)
        life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
        due = certificate.not_valid_before_utc + life * self._share(*_RENEW_AT)
        return max((due - self._clock.now()).total_seconds(), 0.0)

    async def _until_answered(self, client: Client) -> Pair:
        """Ask until the server can be reached. Raises Refused."""
        while True:
            try:
                return await self._ask(client)
            except (StatusError, TransportError) as error:
                log.warning("certificate not asked for, trying again error=%s", error)
                await self._sleep(_RETRY_S)

    async def _ask(self, client: Client) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        made = await client.create(CERTIFICATE_SIGNING_REQUESTS, self._request(key))
        name = made["metadata"]["name"]
        log.info("certificate request waits for approval request=%s", name)
        left = int(_PATIENCE_S / _LOOK_S)
        while left:
            status = made.get("status") or {}
            if status.get("certificate"):
                return Pair(base64.b64decode(status["certificate"]), _key_pem(key))
            for condition in status.get("conditions") or ():
                if condition["type"] in ("Denied", "Failed"):
                    raise Refused(
                        f"certificate signing request is {condition['type'].lower()}, "
                        f"reason: {condition.get('reason', '')}, message: {condition.get('message', '')}"
                    )
            await self._sleep(_LOOK_S)
            left -= 1
            made = await client.get(CERTIFICATE_SIGNING_REQUESTS, name)
        raise Refused(f"certificate signing request {name} was not answered in time")

    def _request(self, key: ec.EllipticCurvePrivateKey) -> Object:
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:nodes"),
                x509.NameAttribute(NameOID.COMMON_NAME, f"system:node:{self._node_name}"),
            ]
        )
        signed = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
        pem = signed.public_bytes(serialization.Encoding.PEM)
        return {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"generateName": "csr-"},
            "spec": {
                "request": base64.b64encode(pem).decode(),
                "signerName": SIGNER,
                "usages": ["digital signature", "client auth"],
            },
        }

    def _write(self, pair: Pair) -> Path:
        """Keep a pair, and let the name of the current one point at it, at no moment at nothing."""
        folder = self._rotation.folder
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"kubelet-client-{self._clock.now():%Y-%m-%d-%H-%M-%S}.pem"
        path.touch(mode=0o600)
        path.write_bytes(pair.certificate.rstrip() + b"\n" + pair.key)
        link, fresh = folder / CURRENT, folder / f"{CURRENT}.new"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(path)
        fresh.rename(link)
        return link

    def _write_config(self, config: ClientConfig, certificate: Path) -> None:
        cluster: dict[str, Any] = {"server": config.server}
        if config.ca_pem:
            cluster["certificate-authority-data"] = base64.b64encode(config.ca_pem).decode()
        if config.insecure:
            cluster["insecure-skip-tls-verify"] = True
        if config.server_name:
            cluster["tls-server-name"] = config.server_name
        user = {"client-certificate": str(certificate), "client-key": str(certificate)}
        context = {"cluster": "default-cluster", "namespace": "default", "user": "default-auth"}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "default-cluster", "cluster": cluster}],
            "contexts": [{"name": "default-context", "context": context}],
            "current-context": "default-context",
            "users": [{"name": "default-auth", "user": user}],
        }
        path = self._rotation.kubeconfig
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(document), encoding="utf-8")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _valid(pem: bytes, now: datetime) -> bool:
    if not pem:
        return False
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError:
        return False
    return certificate.not_valid_after_utc - timedelta(seconds=1) > now


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
