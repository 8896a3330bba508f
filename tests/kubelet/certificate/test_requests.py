"""What is read in certificates before another one is asked for."""

from tiphys.apimachinery.clock import FakeClock
from tiphys.kubelet.certificate.requests import names_all
from tiphys.wire import pki


def test_whether_a_certificate_names_all_hosts():
    now = FakeClock().now()
    ca = pki.make_ca("ca", now)
    named = pki.issue_server(ca, "n1", ["n1", "192.0.2.1", "192.0.2.2"], now).certificate
    assert names_all(named, ["192.0.2.1", "n1"])
    assert not names_all(named, ["192.0.2.1", "192.0.2.3"])
    assert names_all(named, [])


def test_a_certificate_without_names_is_for_no_host():
    nameless = pki.make_ca("ca", FakeClock().now()).certificate
    assert not names_all(nameless, ["n1"])
    assert names_all(nameless, [])
