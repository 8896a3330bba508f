"""The kubelet's certificate: asked for once, found again, renewed in time."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import orjson
import pytest
import yaml
from cryptography import x509
from csr_signer import Signer

from tiphys.apimachinery.clock import FakeClock
from tiphys.client import kubeconfig
from tiphys.client.inprocess import InProcessTransport
from tiphys.client.kubeconfig import ClientConfig
from tiphys.client.rest import Client
from tiphys.controllers.certificates import signing
from tiphys.kubelet.certificate.client import CURRENT, SIGNER, Credentials, Rotation
from tiphys.kubelet.certificate.requests import Refused
from tiphys.wire.message import Request, Response


class World:
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, refuse: str = "") -> None:
        self.clock = FakeClock()
        self.signer = Signer(self.clock, refuse)
        self.slept: list[float] = []
        self.path = folder / "kubelet.conf"
        bootstrap = folder / "bootstrap.conf"
        self.bootstrap = (
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
            "clusters: [{name: k, cluster: {server: 'http://127.0.0.1:1'}}]\n"
            "contexts: [{name: c, context: {cluster: k, user: u}}]\nusers: [{name: u, user: {token: a.b}}]\n"
        )
        bootstrap.write_text(self.bootstrap)
        self.rotation = Rotation(self.path, str(bootstrap), folder / "pki", renew=True)
        monkeypatch.setattr(ClientConfig, "transport", lambda _self: InProcessTransport(self.signer))

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)

    def credentials(self) -> Credentials:
        return Credentials(self.rotation, "n1", self.clock, share=lambda low, _: low, sleep=self.sleep)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


async def test_a_node_without_a_certificate_asks_for_one(world: World) -> None:
    config = await world.credentials().obtain()
    [asked] = world.signer.asked
    assert (asked["spec"]["signerName"], asked["spec"]["usages"]) == (
        SIGNER, ["digital signature", "client auth"]
    )  # fmt: skip
    subject = signing.what_is_asked(signing.read_request(asked["spec"]["request"]))
    assert (subject.common_name, subject.organizations) == ("system:node:n1", ["system:nodes"])
    current = world.rotation.folder / CURRENT
    assert current.is_symlink()
    assert stat.S_IMODE(current.stat().st_mode) == 0o600
    written = yaml.safe_load(world.path.read_text())
    assert written["users"][0]["user"] == {"client-certificate": str(current), "client-key": str(current)}
    assert x509.load_pem_x509_certificate(config.cert_pem).subject.rfc4514_string() == (
        "CN=system:node:n1,O=system:nodes"
    )
    assert config.server == "http://127.0.0.1:1"
    assert config.credentials.token == "", "the token of the start is not used again"


async def test_what_is_there_is_used_again(world: World) -> None:
    await world.credentials().obtain()
    await world.credentials().obtain()
    assert len(world.signer.asked) == 1
    world.clock.advance(11 * 86400)
    await world.credentials().obtain()
    assert len(world.signer.asked) == 2, "one that has ended is none"


@pytest.mark.parametrize("condition", ["Denied", "Failed"])
async def test_a_refusal_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, condition: str) -> None:
    world = World(tmp_path, monkeypatch, condition)
    with pytest.raises(Refused, match=f"is {condition.lower()}, reason: No, message: never"):
        await world.credentials().obtain()
    assert not world.path.exists()


async def test_no_answer_is_not_waited_for_for_ever(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(request: Request) -> Response:
        made = {"metadata": {"name": "csr-1"}, "spec": {}}
        return Response(201, {"content-type": "application/json"}, orjson.dumps(made))

    monkeypatch.setattr(ClientConfig, "transport", lambda _self: InProcessTransport(silent))
    with pytest.raises(Refused, match="csr-1 was not answered in time"):
        await world.credentials().obtain()
    assert sum(world.slept) == 900


async def test_it_is_renewed_before_it_ends(world: World) -> None:
    config = await world.credentials().obtain()
    first = (world.rotation.folder / CURRENT).resolve()
    client = Client(InProcessTransport(world.signer))
    world.slept.clear()

    class Enough(Exception):
        """The second renewal is one too many for a test."""

    async def sleep(seconds: float) -> None:
        if len(world.signer.asked) == 2 and seconds > 100:
            raise Enough
        await world.sleep(seconds)

    keeper = Credentials(world.rotation, "n1", world.clock, share=lambda low, _: low, sleep=sleep)
    with pytest.raises(Enough):
        await keeper.keep(client, config)
    assert 6.9 * 86400 < world.slept[0] < 7.1 * 86400
    assert (world.rotation.folder / CURRENT).resolve() != first
    assert len(list(world.rotation.folder.glob("kubelet-client-2*.pem"))) == 2
    await client.close()


async def test_a_renewal_that_is_refused_is_asked_for_again(world: World) -> None:
    """It was the end of the kubelet, whose certificate was still good for days."""
    config = await world.credentials().obtain()
    client = Client(InProcessTransport(world.signer))
    world.signer.refuse = "Denied"

    async def sleep(seconds: float) -> None:
        await world.sleep(seconds)
        if seconds == 60.0:
            world.signer.refuse = ""
        if len(world.signer.asked) == 3 and seconds > 100:
            raise asyncio.CancelledError

    keeper = Credentials(world.rotation, "n1", world.clock, share=lambda low, _: low, sleep=sleep)
    with pytest.raises(asyncio.CancelledError):
        await keeper.keep(client, config)
    assert len(world.signer.asked) == 3
    assert len(list(world.rotation.folder.glob("kubelet-client-2*.pem"))) == 2
    await client.close()


async def test_a_kubeconfig_of_its_own_needs_no_bootstrap(world: World, tmp_path: Path) -> None:
    world.path.write_text(world.bootstrap)
    config = await Credentials(Rotation(world.path), "n1", world.clock).obtain()
    assert config.credentials.token == "a.b"
    with pytest.raises(kubeconfig.ConfigError):
        await Credentials(Rotation(tmp_path / "none"), "n1", world.clock).obtain()
