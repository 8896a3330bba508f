"""For whom an authority stands, and for how long; what a subject says."""

from __future__ import annotations

import ipaddress
import subprocess
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from tests.wire.certificates import NOW, Made, make, name

from tiphys.apimachinery.clock import RealClock, rfc3339
from tiphys.wire.client_certificates import ClientAuthorities, NotVerified, Shown, identifier, subject_of

CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
ANY = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
UID = ObjectIdentifier("1.3.6.1.4.1.57683.2")
DAY = timedelta(days=1)
UNKNOWN_EXTENSION = x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\x00")
ROOT = make("root", ca=True)
OTHER = make("root", ca=True)
MIDDLE = make("middle", ROOT, ca=True)


def usages(*wanted: ObjectIdentifier) -> tuple[x509.ExtensionType, bool]:
    return x509.ExtendedKeyUsage(wanted), False


ALTERNATIVES = (
    x509.SubjectAlternativeName(
        [x509.DNSName("alice.example.com"), x509.UniformResourceIdentifier("a://example.com/b")]
    ),
    False,
)


def only_signs(sign: bool) -> tuple[x509.ExtensionType, bool]:
    return x509.KeyUsage(not sign, False, False, False, False, sign, False, False, False), True


def chain(depth: int, path: int | None = None) -> tuple[list[Made], Made]:
    """Return a leaf with its authorities, the nearest last sent, and their root."""
    root = above = make("top", ca=True, path=path)
    found = []
    for at in range(depth):
        above = make(f"middle {at}", above, ca=True)
        found.append(above)
    return [make("alice", above), *found], root


def below(*extensions: tuple[x509.ExtensionType, bool], **wanted: Any) -> list[Made]:
    """Return a leaf and the authority above it, which is below the root."""
    above = make("below", ROOT, **{"ca": True, "extensions": extensions, **wanted})
    return [make("alice", above, extensions=[usages(CLIENT), ALTERNATIVES]), above]


def constrained(*permitted: x509.GeneralName) -> list[Made]:
    return below((x509.NameConstraints(permitted, None), True))


def verify(shown: list[Made], *roots: Made, at: Any = NOW) -> Any:
    return ClientAuthorities(b"".join(one.pem for one in roots)).verify(tuple(one.der for one in shown), at)


SELF = make("alice")
SELF_SERVER = make("alice", extensions=[usages(SERVER)])
PAIRS: dict[str, tuple[list[Made], Made]] = {
    "no usage is named": ([make("alice", ROOT)], ROOT),
    "nothing is said but the name": ([make("alice", ROOT, ca=None)], ROOT),
    "for clients": ([make("alice", ROOT, extensions=[usages(CLIENT)])], ROOT),
    "for servers and clients": ([make("alice", ROOT, extensions=[usages(SERVER, CLIENT)])], ROOT),
    "for anything": ([make("alice", ROOT, extensions=[usages(ANY)])], ROOT),
    "another key": ([make("alice", ROOT, key=ed25519.Ed25519PrivateKey.generate())], ROOT),
    "RSA": ([make("alice", ROOT, key=rsa.generate_private_key(65537, 1024))], ROOT),
    "through another authority": ([make("alice", MIDDLE), MIDDLE], ROOT),
    "only the nearest authority is believed": ([make("alice", MIDDLE)], MIDDLE),
    "and it was sent as well": ([make("alice", MIDDLE), MIDDLE], MIDDLE),
    "the root was sent as well": ([make("alice", MIDDLE), ROOT, MIDDLE], ROOT),
    "believed by itself": ([SELF], SELF),
    "an authority of the bundle": ([ROOT], ROOT),
    "as many below as may be": chain(2, path=2),
    "many below": chain(6),
    "above may vouch for clients": (below(usages(CLIENT)), ROOT),
    "above may sign certificates": (below(only_signs(True)), ROOT),
    "a permitted name": (constrained(x509.DNSName("example.com")), ROOT),
    "an unknown extension that may be passed over": (
        [make("alice", ROOT, extensions=[(UNKNOWN_EXTENSION, False)])], ROOT,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PAIRS)
def test_good(case: str) -> None:
    shown, root = PAIRS[case]
    assert verify(shown, OTHER, root) == NOW + 30 * DAY


REFUSED: dict[str, tuple[list[Made], Made]] = {
    "unknown": ([SELF], ROOT),
    "an authority of the same name": ([make("alice", OTHER)], ROOT),
    "the authority between is missing": ([make("alice", MIDDLE)], ROOT),
    "signed by one that is no authority": ([make("a", SELF), SELF], SELF),
    "for servers": ([make("alice", ROOT, extensions=[usages(SERVER)])], ROOT),
    "for servers, and believed by itself": ([SELF_SERVER], SELF_SERVER),
    "over": ([make("alice", ROOT, ends=NOW - DAY / 2)], ROOT),
    "not yet": ([make("alice", ROOT, begins=NOW + DAY)], ROOT),
    "the authority's time is over": (below(ends=NOW - DAY / 2), ROOT),
    "above is no authority": (below(ca=False), ROOT),
    "above does not say that it is one": (below(ca=None), ROOT),
    "above vouches for servers": (below(usages(SERVER)), ROOT),
    "above may not sign certificates": (below(only_signs(False)), ROOT),
    "above has an extension that must be known": (below((UNKNOWN_EXTENSION, True)), ROOT),
    "an extension that must be known": (
        [make("alice", ROOT, extensions=[(UNKNOWN_EXTENSION, True)])], ROOT,
    ),
    "too many below": chain(2, path=1),
    "another name than permitted": (constrained(x509.DNSName("example.org")), ROOT),
    "a constraint that cannot be judged": (
        constrained(x509.UniformResourceIdentifier("example.com")), ROOT,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    shown, root = REFUSED[case]
    with pytest.raises(NotVerified, match=r"^x509: "):
        verify(shown, root)


UNKNOWN = "x509: certificate signed by unknown authority"
USAGE = "x509: certificate specifies an incompatible key usage"
TIME = f"x509: certificate has expired or is not yet valid: current time {rfc3339(NOW)} is"


def maybe(hint: str) -> str:
    return f'{UNKNOWN} (possibly because of "{hint}")'


WORDS = {
    "unknown": UNKNOWN,
    "an authority of the same name": maybe("signature does not match"),
    "the authority between is missing": UNKNOWN,
    "signed by one that is no authority": maybe("basicConstraints.cA must be asserted in a CA certificate"),
    "for servers": USAGE,
    "for servers, and believed by itself": USAGE,
    "over": f"{TIME} after {rfc3339(NOW - DAY / 2)}",
    "not yet": f"{TIME} before {rfc3339(NOW + DAY)}",
    "the authority's time is over": maybe("cert is not valid at validation time"),
    "above is no authority": maybe("basicConstraints.cA must be asserted in a CA certificate"),
    "above vouches for servers": maybe("certificate specifies an incompatible key usage"),
    "above may not sign certificates": maybe("parent certificate cannot sign this kind of certificate"),
    "an extension that must be known": "x509: unhandled critical extension",
    "too many below": maybe("path length constraint violated"),
}


@pytest.mark.parametrize("case", WORDS)
def test_why(case: str) -> None:
    shown, root = REFUSED[case]
    with pytest.raises(NotVerified) as caught:
        verify(shown, root)
    assert str(caught.value) == WORDS[case]


def test_a_constraint_without_names_to_judge() -> None:
    constraint = x509.NameConstraints(None, [x509.IPAddress(ipaddress.ip_network("10.0.0.0/8"))])
    above = make("below", ROOT, ca=True, extensions=[(constraint, True)])
    assert verify([make("alice", above), above], ROOT) == NOW + 30 * DAY


def test_the_weakest_link_says_until_when() -> None:
    above = make("below", ROOT, ca=True, ends=NOW + 2 * DAY)
    shown = [make("alice", above), above]
    assert verify(shown, ROOT) == NOW + 2 * DAY
    for at in (NOW - 2 * DAY, NOW + 3 * DAY):
        with pytest.raises(NotVerified):
            verify(shown, ROOT, at=at)


def test_what_was_found_is_remembered_until_it_ends() -> None:
    authorities = ClientAuthorities(ROOT.pem)
    shown = (make("alice", ROOT, ends=NOW + DAY).der,)
    calls: list[Any] = []
    found = authorities._verified
    authorities._verified = lambda shown, now: calls.append(now) or found(shown, now)  # type: ignore[assignment,func-returns-value]
    for _ in range(3):
        assert authorities.verify(shown, NOW) == NOW + DAY
    assert calls == [NOW]
    assert authorities.verify(shown, NOW + DAY) == NOW + DAY, "it is good in its last moment"
    for late in (timedelta(microseconds=1), timedelta(seconds=1)):
        with pytest.raises(NotVerified):
            authorities.verify(shown, NOW + DAY + late)


@pytest.mark.parametrize("shown", [(), (b"",), (b"no certificate",), (b"\x30\x03\x02\x01\x05",)])
def test_what_is_no_certificate(shown: Shown) -> None:
    with pytest.raises(NotVerified):
        ClientAuthorities(ROOT.pem).verify(shown, NOW)


def test_bundles() -> None:
    assert not ClientAuthorities()
    assert not ClientAuthorities(b"\n")
    assert ClientAuthorities(b"# ours\n" + ROOT.pem + b"# theirs\n" + OTHER.pem)
    with pytest.raises(NotVerified, match="signed by unknown authority"):
        ClientAuthorities().verify((make("alice", ROOT).der,), NOW)
    with pytest.raises(ValueError):
        ClientAuthorities(b"no certificate")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Certificates of the first version, as ``openssl x509 -req`` makes them."""
    folder = tmp_path_factory.mktemp("plain")
    server = make("servers", ca=True, extensions=[usages(SERVER)])
    issuers = {"root": ROOT, "middle": MIDDLE, "servers": server, "nobody": SELF}
    made = {"servers-ca": server.pem}

    def run(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    wanted = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key"]
    run("req", *wanted, "-subj", "/CN=alice/O=dev", "-out", "request")
    signed = ["-CA", "ca", "-CAkey", "ca.key", "-CAcreateserial", "-days", "9"]
    for issuer, authority in issuers.items():
        (folder / "ca").write_bytes(authority.pem)
        (folder / "ca.key").write_bytes(authority.pair.key)
        run("x509", "-req", "-in", "request", *signed, "-out", "signed")
        made[issuer] = (folder / "signed").read_bytes()
    run("x509", "-req", "-in", "request", *signed[:-1], "1", "-sha1", "-out", "signed")
    made["sha1"] = (folder / "signed").read_bytes()
    return made


def test_certificates_of_the_first_version(plain: dict[str, bytes]) -> None:
    def shown(which: str) -> bytes:
        return x509.load_pem_x509_certificate(plain[which]).public_bytes(Encoding.DER)

    authorities = ClientAuthorities(ROOT.pem + plain["servers-ca"] + SELF.pem)
    now = RealClock().now() + timedelta(minutes=5)  # openssl has made them by the machine's clock
    until = authorities.verify((shown("root"),), now)
    assert timedelta(days=8) < until - now < timedelta(days=10)
    assert subject_of(shown("root")).organizations == ("dev",)
    ClientAuthorities(MIDDLE.pem).verify((shown("middle"),), now)
    for which in ("servers", "nobody", "middle", "sha1"):
        with pytest.raises(NotVerified, match="signed by unknown authority"):
            authorities.verify((shown(which), MIDDLE.der), now)
    for at in (NOW - 2 * DAY, NOW + 10 * DAY):
        with pytest.raises(NotVerified, match="has expired or is not yet valid"):
            ClientAuthorities(ROOT.pem).verify((shown("root"),), at)


CN, O = NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME  # noqa: E741


@pytest.mark.parametrize(
    ("parts", "want"),
    [
        ([(CN, "alice"), (O, "dev"), (O, "ops")], ("alice", ("dev", "ops"), "")),
        ([(CN, "alice"), (CN, "bob")], ("bob", (), "")),
        ([(O, "dev")], ("", ("dev",), "")),
        ([(CN, "alice"), (UID, "u-1")], ("alice", (), "u-1")),
        ([(CN, "alice"), (UID, "u-1"), (UID, "u-2")],
         ("alice", (), "expected 1 UID, but found multiple: [u-1 u-2]")),
        ([(CN, "alice"), (UID, "")], ("alice", (), "UID cannot be an empty string")),
    ],
    ids=["groups", "the last name counts", "no name", "a unique id", "two of them", "an empty one"],
)  # fmt: skip
def test_subjects(parts: Any, want: Any) -> None:
    subject = subject_of(make(name(*parts), ROOT).der)
    try:
        uid = subject.uid
    except NotVerified as error:
        uid = str(error)
    assert (subject.common_name, subject.organizations, uid) == want
    assert subject.credential.startswith("X509SHA256=")
    assert len(subject.credential) == len("X509SHA256=") + 64


def test_what_the_log_calls_it() -> None:
    own = x509.SubjectKeyIdentifier(b"\x01\xab")
    above = x509.AuthorityKeyIdentifier(b"\x02\xcd", None, None)
    made = make("alice", ROOT, extensions=[(own, False), (above, False)])
    assert identifier(made.der) == f"SN={made.certificate.serial_number}, SKID=01:AB, AKID=02:CD"
    assert identifier(SELF.der).endswith(", SKID=, AKID=")
