"""The serving certificate that the cluster signs."""

from datetime import timedelta

import pytest
from cryptography import x509
from csr_signer import Signer

from tiphys.apimachinery.clock import FakeClock
from tiphys.client.inprocess import InProcessTransport
from tiphys.client.rest import Client
from tiphys.kubelet.certificate.serving import SIGNER, ServingCertificate


class Enough(Exception):
    """Ends what would go on for ever."""


class World:
    def __init__(self, folder, refuse="", hosts=("n1", "192.0.2.1")):
        self.clock = FakeClock()
        self.signer = Signer(self.clock, refuse)
        self.slept = []
        self.enough = 20
        client = Client(InProcessTransport(self.signer))
        self.serving = ServingCertificate(client, "n1", hosts, folder, self.clock, sleep=self.sleep)

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.clock.advance(seconds)
        if len(self.slept) >= self.enough:
            raise Enough


def names_of(pem):
    certificate = x509.load_pem_x509_certificate(pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.DNSName), [
        str(ip) for ip in names.get_values_for_type(x509.IPAddress)
    ]


async def test_asks_for_the_names_of_the_node(tmp_path):
    world = World(tmp_path)
    pair = await world.serving.obtain()
    (asked,) = world.signer.asked
    assert (asked["spec"]["signerName"], asked["spec"]["usages"]) == (
        SIGNER,
        ["digital signature", "server auth"],
    )
    assert names_of(pair.certificate) == (["n1"], ["192.0.2.1"])
    assert (tmp_path / "kubelet-server-current.pem").read_bytes().startswith(b"-----BEGIN CERTIFICATE")


async def test_what_is_there_is_used_again(tmp_path):
    first = await World(tmp_path).serving.obtain()
    again = World(tmp_path)
    found = await again.serving.obtain()
    assert found.certificate.startswith(first.certificate.rstrip())
    assert again.signer.asked == []
    late = World(tmp_path)
    late.clock.advance(timedelta(days=20).total_seconds())
    await late.serving.obtain()
    assert len(late.signer.asked) == 1


async def test_a_node_that_has_another_address_asks_for_another(tmp_path):
    await World(tmp_path).serving.obtain()
    moved = World(tmp_path, hosts=("n1", "192.0.2.2"))
    pair = await moved.serving.obtain()
    assert names_of(pair.certificate) == (["n1"], ["192.0.2.2"])


async def test_is_renewed(tmp_path):
    world = World(tmp_path)
    pair = await world.serving.obtain()
    shown = []

    async def show(pair):
        shown.append(pair)

    world.enough = len(world.slept) + 4
    with pytest.raises(Enough):
        await world.serving.keep(show, pair)
    assert len(world.signer.asked) >= 2
    assert shown
    assert pair not in shown


async def test_a_refusal_is_no_end(tmp_path):
    world = World(tmp_path, refuse="Denied")
    world.enough = 3
    with pytest.raises(Enough):
        await world.serving.obtain()
    assert len(world.signer.asked) >= 2
    assert 60.0 in world.slept
