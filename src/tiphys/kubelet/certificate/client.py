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
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import yaml

from tiphys.apimachinery.clock import Clock, RealClock
from tiphys.apimachinery.dataclass import dataclass
from tiphys.client import kubeconfig
from tiphys.client.kubeconfig import ClientConfig
from tiphys.client.rest import Client
from tiphys.client.transport import HttpTransport
from tiphys.client.useragent import user_agent
from tiphys.kubelet.certificate.requests import (
    REFUSED_S,
    RENEW_AT,
    Pair,
    Refused,
    Wanted,
    is_valid,
    keep_pair,
    renewal_s,
    until_answered,
)

log = logging.getLogger(__name__)
SIGNER: Final = "kubernetes.io/kube-apiserver-client-kubelet"
_PREFIX: Final = "kubelet-client"
CURRENT: Final = f"{_PREFIX}-current.pem"


@dataclass(frozen=True, slots=True)
class Rotation:
    """Where credentials are, and whether to renew them. ``bootstrap``: a kubeconfig, empty for none."""

    kubeconfig: Path
    bootstrap: str = ""
    folder: Path = Path("/var/lib/kubelet/pki")
    renew: bool = False


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
            client = Client(config.transport(), user_agent=user_agent("kubelet"))
            try:
                pair = await self._until_answered(client)
            finally:
                await client.close()
            self._write_config(config, self._write(pair))
        found = kubeconfig.load(rotation.kubeconfig)
        current = rotation.folder / CURRENT
        if rotation.renew and is_valid(_read(current), self._clock.now()):
            pem = _read(current)
            return replace(found, cert_pem=pem, key_pem=pem, cert_file=current, key_file=current)
        return found

    async def keep(self, client: Client, config: ClientConfig) -> None:
        """Renew the certificate at some point of the last third of its life, again and again."""
        pem = config.cert_pem
        while pem:
            await self._sleep(self._wait_s(pem))
            try:
                pair = await self._until_answered(client)
            except Refused as error:  # no end: this certificate is good for a while, the next may be signed
                log.warning("certificate not renewed node=%s error=%s", self._node_name, error)
                await self._sleep(REFUSED_S)
                continue
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
        return not config.cert_pem or is_valid(config.cert_pem, self._clock.now())

    def _wait_s(self, pem: bytes) -> float:
        return renewal_s(pem, self._clock.now(), self._share(*RENEW_AT))

    async def _until_answered(self, client: Client) -> Pair:
        """Ask until the server can be reached. Raises Refused."""
        wanted = Wanted(self._node_name, SIGNER, ("digital signature", "client auth"))
        return await until_answered(client, wanted, self._sleep)

    def _write(self, pair: Pair) -> Path:
        return keep_pair(self._rotation.folder, _PREFIX, pair, self._clock.now())

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
