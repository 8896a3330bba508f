"""Certificates among the other credentials of a request, and what a connection remembers of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from datetime import timedelta
from typing import Any

import orjson
import pytest
from cryptography.x509.oid import NameOID, ObjectIdentifier
from tests.wire.certificates import NOW, Made, make, name
from tests.wire.test_peer import SERVER, client_context

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.errors import Unauthorized
from tiphys.apiserver.authn.anonymous import Anonymous
from tiphys.apiserver.authn.attempts import Seen
from tiphys.apiserver.authn.authenticator import Authenticator
from tiphys.apiserver.authn.certificates import Expiry
from tiphys.apiserver.authn.requestheader import RequestHeader
from tiphys.apiserver.authn.tokens import StaticTokens
from tiphys.apiserver.options import TokenEntry
from tiphys.wire import pki
from tiphys.wire.message import Request
from tiphys.wire.server import serve

CA, PROXIES = make("users", ca=True), make("proxies", ca=True)
UID = ObjectIdentifier("1.3.6.1.4.1.57683.2")
CN = NameOID.COMMON_NAME
SHOWN = {
    "good": make("alice", CA),
    "unknown": make("alice", make("users", ca=True)),
    "expired": make("alice", CA, ends=NOW - timedelta(hours=1)),
    "nameless": make(name((NameOID.ORGANIZATION_NAME, "dev")), CA),
    "two ids": make(name((CN, "alice"), (UID, "1"), (UID, "2")), CA),
    "proxy": make("aggregator", PROXIES),
    "other proxy": make("other", PROXIES),
}
ANONYMOUS, REFUSED = "system:anonymous", None


def authenticator(
    client_ca: bytes = CA.pem, *, clock: Any = None, proxies: bytes = PROXIES.pem
) -> Authenticator:
    header = RequestHeader(proxies, ("aggregator",))
    tokens = [StaticTokens([TokenEntry("known", "bob", "")])]
    return Authenticator(tokens, (), front_proxy=header, client_ca=client_ca, clock=clock or FakeClock(NOW))  # type: ignore[arg-type]


def request(shown: Made | None, token: str = "", **headers: str) -> Request:
    sent = {**headers, **({"authorization": f"Bearer {token}"} if token else {})}
    return Request("GET", "/api", headers=sent, shown_certificates=(shown.der,) if shown else ())


@pytest.mark.parametrize(
    ("shown", "token", "want"),
    [
        (None, "", ANONYMOUS),
        (None, "known", "bob"),
        (None, "unknown", REFUSED),
        ("good", "", "alice"),
        ("good", "known", "alice"),
        ("good", "unknown", "alice"),
        ("unknown", "", REFUSED),
        ("unknown", "known", "bob"),
        ("unknown", "unknown", REFUSED),
        ("expired", "", REFUSED),
        ("expired", "known", "bob"),
        ("two ids", "", REFUSED),
        ("two ids", "known", "bob"),
        ("nameless", "known", "bob"),
        ("proxy", "", REFUSED),
        ("other proxy", "known", "bob"),
    ],
)
async def test_all_credentials_are_tried(shown: str | None, token: str, want: str | None) -> None:
    asked = authenticator()
    sent = request(SHOWN[shown] if shown else None, token)
    if want is REFUSED:
        with pytest.raises(Unauthorized, match=r"^Unauthorized$"):
            await asked.authenticate(sent)
    else:
        assert (await asked.authenticate(sent)).name == want


@pytest.mark.parametrize(
    ("shown", "headers", "want"),
    [
        ("proxy", {"x-remote-user": "carol"}, "carol"),
        ("other proxy", {"x-remote-user": "carol"}, REFUSED),
        ("good", {"x-remote-user": "carol"}, "alice"),
        ("unknown", {"x-remote-user": "carol"}, REFUSED),
    ],
)
async def test_front_proxies_come_first(shown: str, headers: dict[str, str], want: str | None) -> None:
    try:
        found = (await authenticator().authenticate(request(SHOWN[shown], **headers))).name
    except Unauthorized:
        found = REFUSED
    assert found == want


async def test_a_nameless_certificate_of_users_makes_anonymous() -> None:
    asked = authenticator(proxies=b"")
    assert (await asked.authenticate(request(SHOWN["nameless"]))).name == ANONYMOUS


async def test_without_authorities_a_certificate_says_nothing() -> None:
    asked = authenticator(b"", proxies=b"")
    assert (await asked.authenticate(request(SHOWN["good"]))).name == ANONYMOUS
    asked.anonymous = Anonymous(enabled=False)
    with pytest.raises(Unauthorized):
        await asked.authenticate(request(SHOWN["good"]))


async def test_what_a_user_bears() -> None:
    shown = make(name((CN, "alice"), (UID, "u-7"), (NameOID.ORGANIZATION_NAME, "dev")), CA)
    user = await authenticator().authenticate(request(shown))
    assert (user.uid, user.groups) == ("u-7", ("dev", "system:authenticated"))
    ((key, (value,)),) = user.extra
    assert (key, value[:11]) == ("authentication.kubernetes.io/credential-id", "X509SHA256=")


def lifetimes(asked: Authenticator) -> dict[str, float]:
    (family,) = (one for one in asked.collect() if "client_certificate" in one.name)
    assert family.name == "apiserver_client_certificate_expiration_seconds"
    return {sample.labels.get("le", sample.name[-5:]): sample.value for sample in family.samples}


async def test_how_long_certificates_still_hold() -> None:
    clock = FakeClock(NOW)
    asked = authenticator(clock=clock)
    for shown in (make("alice", CA, ends=NOW + timedelta(hours=1)), SHOWN["expired"], SHOWN["proxy"], None):
        with contextlib.suppress(Unauthorized):
            await asked.authenticate(request(shown, "known"))
    await asked.authenticate(request(SHOWN["proxy"], **{"x-remote-user": "carol"}))  # a front proxy's word
    assert list(lifetimes(asked)) == [
        "0", "1800", "3600", "7200", "21600", "43200", "86400", "172800", "345600",
        "604800", "2.592e+06", "7.776e+06", "1.5552e+07", "3.1104e+07", "+Inf", "s_sum", "count",
    ]  # fmt: skip
    found = lifetimes(asked)
    assert (found["0"], found["1800"], found["3600"], found["count"]) == (1, 1, 2, 3)


async def test_how_long_the_certificates_of_regulars_still_hold() -> None:
    clock, seen = FakeClock(NOW), Seen()
    asked = authenticator(clock=clock)
    shown = request(make("alice", CA, ends=NOW + timedelta(hours=1)))
    seen.count = 7  # before it was known
    for _ in range(2):
        assert await asked.lasting_user(shown)
        asked.follow(shown, seen)
        asked.follow(request(SHOWN["proxy"], **{"x-remote-user": "carol"}), Seen())
    assert lifetimes(asked)["count"] == 0
    seen.count += 2
    assert lifetimes(asked)["3600"] == lifetimes(asked)["count"] == 2
    clock.advance(1800)
    seen.count += 3
    found = lifetimes(asked)
    assert (found["1800"], found["3600"], found["s_sum"]) == (3, 5, 2 * 3600 + 3 * 1800)


async def test_why_is_for_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with pytest.raises(Unauthorized):
        await authenticator().authenticate(request(SHOWN["unknown"], "unknown"))
    text = caplog.text
    assert f"verifying certificate SN={SHOWN['unknown'].certificate.serial_number}, SKID=, AKID=" in text
    assert "invalid bearer token" in text


async def test_what_is_remembered_ends_with_the_certificate() -> None:
    clock = FakeClock(NOW)
    asked = authenticator(clock=clock)
    shown = request(make("alice", CA, ends=NOW + timedelta(milliseconds=10)))
    found = await asked.lasting_user(shown)
    assert found is not None
    before = asked.changes
    clock.advance(1)
    asked._expiry._look()
    assert asked.changes == before + 1
    assert await asked.lasting_user(shown) is None
    await asked.close()


async def test_a_clock_that_stands_still_at_the_end_is_no_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "call_later", lambda delay_s, _call: waits.append(delay_s))
    expiry = Expiry(FakeClock(NOW), lambda: None)
    for until in (NOW + timedelta(days=9), NOW + timedelta(seconds=5), NOW, NOW - timedelta(days=1)):
        expiry.note(until)
    assert waits == [30.0, 5.01, 0.01, 0.01]


async def test_expiry_follows_the_clock() -> None:
    clock, ended = FakeClock(NOW), []
    expiry = Expiry(clock, lambda: ended.append(clock.now()))
    expiry.note(NOW + timedelta(days=9))
    expiry.note(NOW + timedelta(days=10))
    expiry._look()
    assert ended == []
    clock.advance(9 * 24 * 3600 + 1)  # it may jump
    expiry._look()
    assert ended == [clock.now()]
    expiry._look()
    assert len(ended) == 1
    expiry.close()


@pytest.mark.parametrize(
    ("shown", "token", "want"),
    [("good", "", 200), ("unknown", "", 401), ("expired", "", 401), ("expired", "t", 200), (None, "", 200)],
)
async def test_over_tls(serving: Any, shown: str | None, token: str, want: int) -> None:
    """The handshake is not where a client learns of it: the answer is a Status."""
    options = {"client_ca": CA.pem, "tokens": (TokenEntry("t", "bob", ""),)}
    async with (
        serving(clock=FakeClock(NOW), **options) as api,
        serve(api.server.handler, ssl_context=pki.server_context(SERVER, CA.pem)) as running,
    ):
        context = client_context(SHOWN[shown].pair if shown else None)
        status, body = await get(running.port, context, token)
    assert status == want
    if want == 401:
        assert (body["kind"], body["reason"], body["message"]) == ("Status", "Unauthorized", "Unauthorized")


async def get(port: int, context: ssl.SSLContext, token: str) -> tuple[int, Any]:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="localhost"
    )
    auth = f"authorization: Bearer {token}\r\n" if token else ""
    writer.write(f"GET /version HTTP/1.1\r\nhost: x\r\n{auth}connection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), orjson.loads(body)


async def test_a_connection_that_outlives_its_authority(serving: Any) -> None:
    async with (
        serving(clock=FakeClock(NOW), client_ca=CA.pem) as api,
        serve(api.server.handler, ssl_context=pki.server_context(SERVER, CA.pem)) as running,
    ):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", running.port, ssl=client_context(SHOWN["good"].pair), server_hostname="localhost"
        )
        answers = []
        for bundle in (CA.pem, CA.pem, PROXIES.pem, CA.pem + PROXIES.pem):
            if bundle != CA.pem:
                await api.server.trust(bundle, b"")
            writer.write(b"GET /version HTTP/1.1\r\nhost: x\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
            await reader.readexactly(int(length.split()[1]))
            answers.append(int(head.split()[1]))
        writer.close()
    assert answers == [200, 200, 401, 200]
