"""Service account tokens: keys, issuers, bindings, the older ones in Secrets."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tiphys.apimachinery.clock import FakeClock, rfc3339
from tiphys.apiserver.authn import serviceaccount
from tiphys.apiserver.authn.serviceaccount import (
    Binding,
    TokenKeys,
    TokenRequest,
    VerifiedToken,
    load_public_keys,
)
from tiphys.apiserver.authn.serviceaccount_tokens import ServiceAccountTokens
from tiphys.apiserver.authn.tokens import Refused
from tiphys.wire.jwt_keys import SigningKey
from tiphys.wire.pki import make_ca, make_signing_key, public_pem

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OLD, NEW = make_signing_key(), make_signing_key()
API = ("api",)
ACCOUNT = {"metadata": {"name": "sa", "namespace": "ns", "uid": "u1"}}


def make_token(keys: TokenKeys, *bindings: Binding, audiences: tuple[str, ...] = API, **rest: Any) -> str:
    return keys.sign(TokenRequest(ACCOUNT, audiences, 600, bindings, **rest), NOW)


def obj(name: str, uid: str = "", **meta: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": uid, **meta}}


class World:
    """Objects that tokens are bound to."""

    def __init__(self, *objects: tuple[str, str, dict[str, Any]]) -> None:
        self.objects = {(plural, ns, one["metadata"]["name"]): one for plural, ns, one in objects}
        self.used: list[tuple[str, str]] = []

    async def lookup(self, plural: str, namespace: str, name: str) -> dict[str, Any] | None:
        return self.objects.get((plural, namespace, name))

    async def mark(self, secret: dict[str, Any], today: str) -> None:
        self.used.append((secret["metadata"]["name"], today))


ALIVE = ("serviceaccounts", "ns", ACCOUNT)
GONE = rfc3339(NOW - timedelta(minutes=2))
GOING = rfc3339(NOW - timedelta(seconds=30))
INVALIDATED = "service account token has been invalidated"
POD, NODE = Binding("pod", "p", "u2"), Binding("node", "n", "u3")
CASES: dict[str, tuple[list[Any], tuple[Binding, ...], str | None]] = {
    "unbound": ([ALIVE], (), None),
    "no account": ([], (), 'serviceaccounts "sa" not found'),
    "another account of the name": (
        [("serviceaccounts", "ns", obj("sa", "u9"))], (),
        "service account UID (u9) does not match claim (u1)",
    ),
    "account gone": (
        [("serviceaccounts", "ns", obj("sa", "u1", deletionTimestamp=GONE))], (),
        "service account ns/sa has been deleted",
    ),
    "account going": ([("serviceaccounts", "ns", obj("sa", "u1", deletionTimestamp=GOING))], (), None),
    "pod": ([ALIVE, ("pods", "ns", obj("p", "u2"))], (POD, NODE), None),
    "pod not there": ([ALIVE], (POD,), INVALIDATED),
    "pod gone": ([ALIVE, ("pods", "ns", obj("p", "u2", deletionTimestamp=GONE))], (POD,), INVALIDATED),
    "pod going": ([ALIVE, ("pods", "ns", obj("p", "u2", deletionTimestamp=GOING))], (POD,), None),
    "another pod": (
        [ALIVE, ("pods", "ns", obj("p", "u8"))], (POD,),
        "pod UID (u8) does not match service account pod ref claim (u2)",
    ),
    "another pod, gone": (
        [ALIVE, ("pods", "ns", obj("p", "u8", deletionTimestamp=GONE))], (POD,),
        "pod UID (u8) does not match service account pod ref claim (u2)",
    ),
    "any pod of a name": (
        [ALIVE, ("pods", "ns", obj("p", "u2"))], (Binding("pod", "p", ""),),
        "pod UID (u2) does not match service account pod ref claim ()",
    ),
    "node": ([ALIVE, ("nodes", "", obj("n", "u3"))], (NODE,), None),
    "node not there": ([ALIVE], (NODE,), INVALIDATED),
    "another node": (
        [ALIVE, ("nodes", "", obj("n", "u7"))], (NODE,),
        "node UID (u7) does not match service account node ref claim (u3)",
    ),
    "secret": ([ALIVE, ("secrets", "ns", obj("s", "u4"))], (Binding("secret", "s", "u4"),), None),
    "secret not there": ([ALIVE], (Binding("secret", "s", "u4"),), INVALIDATED),
    "secret gone": (
        [ALIVE, ("secrets", "ns", obj("s", "u4", deletionTimestamp=GONE))], (Binding("secret", "s", "u4"),),
        INVALIDATED,
    ),
    "node gone": ([ALIVE, ("nodes", "", obj("n", "u3", deletionTimestamp=GONE))], (NODE,), INVALIDATED),
    "another secret": (
        [ALIVE, ("secrets", "ns", obj("s", "u6"))], (Binding("secret", "s", "u4"),),
        "secret UID (u6) does not match service account secret ref claim (u4)",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("objects", "bindings", "fault"), CASES.values(), ids=CASES)
async def test_what_a_token_is_bound_to(
    objects: list[Any], bindings: tuple[Binding, ...], fault: str | None
) -> None:
    keys = TokenKeys(("iss",), NEW)
    tokens = ServiceAccountTokens(keys, API, World(*objects).lookup, FakeClock(NOW))
    if fault is None:
        found = await tokens.authenticate_token(make_token(keys, *bindings), API)
        assert found is not None
        assert (found.user.name, found.audiences) == ("system:serviceaccount:ns:sa", API)
        return
    with pytest.raises(Refused) as caught:
        await tokens.authenticate_token(make_token(keys, *bindings), API)
    assert str(caught.value) == fault


async def test_what_is_told_of_the_user() -> None:
    keys = TokenKeys(("iss",), NEW)
    world = World(ALIVE, ("pods", "ns", obj("p", "u2")))
    tokens = ServiceAccountTokens(keys, API, world.lookup, FakeClock(NOW))
    found = await tokens.authenticate_token(make_token(keys, POD, NODE, credential_id="j"), API)
    assert found is not None
    assert found.user.uid == "u1"
    assert dict(found.user.extra) == {
        "authentication.kubernetes.io/credential-id": ("JTI=j",),
        "authentication.kubernetes.io/node-name": ("n",),
        "authentication.kubernetes.io/node-uid": ("u3",),
        "authentication.kubernetes.io/pod-name": ("p",),
        "authentication.kubernetes.io/pod-uid": ("u2",),
    }


async def test_audiences() -> None:
    keys = TokenKeys(("iss",), NEW)
    tokens = ServiceAccountTokens(keys, API, World(ALIVE).lookup, FakeClock(NOW))
    text = make_token(keys, audiences=("vault", "x"))
    found = await tokens.authenticate_token(text, ("x", "y"))
    assert found is not None
    assert found.audiences == ("x",)
    with pytest.raises(Refused) as caught:
        await tokens.authenticate_token(text, API)
    assert str(caught.value) == 'token audiences ["vault" "x"] is invalid for the target audiences ["api"]'


NONE: dict[str, tuple[dict[str, Any], tuple[str, ...], str]] = {
    # claims of a token that names no audience, those that are asked for, the fault
    "for the API": ({}, API, ""),
    "for others": ({}, ("x",), 'token audiences ["api"] is invalid for the target audiences ["x"]'),
    "for others, and over": (
        {"exp": 1}, ("x",), 'token audiences ["api"] is invalid for the target audiences ["x"]',
    ),
    "over": ({"exp": 1}, API, "service account token has expired"),
    "of no account": ({"kubernetes.io": None}, API, 'serviceaccounts "" not found'),
}  # fmt: skip


@pytest.mark.parametrize(("claims", "audiences", "fault"), NONE.values(), ids=NONE)
async def test_tokens_without_an_audience(
    claims: dict[str, Any], audiences: tuple[str, ...], fault: str
) -> None:
    """They are for the API, whoever has signed them; their use is noted and counted."""
    keys = TokenKeys(("iss",), NEW)
    tokens = ServiceAccountTokens(keys, API, World(ALIVE).lookup, FakeClock(NOW))
    text = SigningKey(NEW).sign({**keys.claims(TokenRequest(ACCOUNT, (), 600), NOW), **claims})
    notes = (("authentication.k8s.io/legacy-token", "system:serviceaccount:ns:sa"),)
    if fault:
        with pytest.raises(Refused) as caught:
            await tokens.authenticate_token(text, audiences)
        assert (str(caught.value), caught.value.annotations) == (fault, notes)
    else:
        found = await tokens.authenticate_token(text, audiences)
        assert found is not None
        assert (found.audiences, found.annotations) == (API, notes)
    counts = {sample.name: sample.value for family in tokens.collect() for sample in family.samples}
    assert counts["serviceaccount_legacy_tokens_total"] == 1


def checked(keys: TokenKeys, text: str, moment: datetime) -> VerifiedToken | None:
    found = keys.verify(text)
    if found is not None:
        found.check_times(moment)
    return found


@pytest.mark.parametrize(
    ("after_s", "fault"),
    [
        (-61, "service account token is not valid yet"),
        (-59, None),
        (659, None),
        (661, "service account token has expired"),
    ],
)
def test_times_with_a_minute_of_grace(after_s: int, fault: str | None) -> None:
    keys = TokenKeys(("iss",), NEW)
    text, moment = make_token(keys), NOW + timedelta(seconds=after_s)
    if fault is None:
        assert checked(keys, text, moment) is not None
    else:
        with pytest.raises(Refused, match=fault):
            checked(keys, text, moment)


@pytest.mark.parametrize(
    ("times", "fault"),
    [
        ({"iat": 61}, "service account token is issued in the future"),
        ({"iat": 60}, None),
        ({"iat": 61, "exp": -61}, "service account token has expired"),
        ({"iat": 61, "exp": -61, "nbf": 61}, "service account token is not valid yet"),
    ],
)
def test_times_that_do_not_go_together(times: dict[str, int], fault: str | None) -> None:
    keys, now_s = TokenKeys(("iss",), NEW), int(NOW.timestamp())
    claims = keys.claims(TokenRequest(ACCOUNT, API, 600), NOW)
    text = SigningKey(NEW).sign({**claims, **{name: now_s + after for name, after in times.items()}})
    if fault is None:
        assert checked(keys, text, NOW) is not None
    else:
        with pytest.raises(Refused, match=fault):
            checked(keys, text, NOW)


def test_served_keys_have_upstreams_order_of_fields() -> None:
    rsa_pem = (
        rsa.generate_private_key(65537, 2048)
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    served = TokenKeys(("new",), NEW, [rsa_pem]).jwks()["keys"]
    assert {key["kty"]: list(key) for key in served} == {
        "EC": ["use", "kty", "kid", "crv", "alg", "x", "y"],
        "RSA": ["use", "kty", "kid", "alg", "n", "e"],
    }


def test_keys_and_issuers_change() -> None:
    before = TokenKeys(("old",), OLD)
    text = make_token(before)
    both = TokenKeys(("new", "old"), NEW, [public_pem(OLD)])
    assert both.verify(text) is not None
    assert jwt.decode(make_token(both), options={"verify_signature": False})["iss"] == "new"
    assert len(both.jwks()["keys"]) == 2
    assert TokenKeys(("new",), NEW, [public_pem(OLD)]).verify(text) is None, "not ours any more"
    with pytest.raises(Refused, match="invalid signature, no keys found"):
        TokenKeys(("new", "old"), NEW).verify(text)


@pytest.mark.parametrize(
    ("key_id", "fault"),
    [
        (None, None),
        ("", None),
        ("another", "invalid signature, no keys found"),
        (SigningKey(OLD).id, "error in cryptographic primitive"),
    ],
    ids=["none", "empty", "unknown", "not its own"],
)
def test_the_key_that_a_token_names(key_id: str | None, fault: str | None) -> None:
    keys = TokenKeys(("iss",), NEW, [public_pem(OLD)])
    claims = keys.claims(TokenRequest(ACCOUNT, API, 600), NOW)
    named = {} if key_id is None else {"kid": key_id}
    text = jwt.encode(
        claims, NEW, algorithm=jwt.get_unverified_header(make_token(keys))["alg"], headers=named
    )
    if fault is None:
        assert checked(keys, text, NOW) is not None
    else:
        with pytest.raises(Refused, match=fault):
            checked(keys, text, NOW)


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "." * 10, "\0.\0.\0"])
def test_what_is_no_token_of_ours(text: str) -> None:
    assert TokenKeys(("iss",), NEW).verify(text) is None


def test_unsigned_tokens_are_refused() -> None:
    keys = TokenKeys(("iss",), NEW)
    claims = jwt.decode(make_token(keys), options={"verify_signature": False})
    with pytest.raises(Refused):
        keys.verify(jwt.encode(claims, None, algorithm="none"))
    with pytest.raises(Refused):  # the public key must not do as a shared secret
        keys.verify(_hmac(claims, public_pem(NEW)))


def _hmac(claims: dict[str, Any], key: bytes) -> str:
    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    body = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims)}"
    digest = hmac.new(key, body.encode(), hashlib.sha256).digest()
    return f"{body}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def test_files_with_several_keys(tmp_path: Path) -> None:
    certificate = make_ca("ca", NOW).certificate
    keys = load_public_keys(public_pem(OLD) + b"\nnoise\n" + NEW + certificate)
    assert len(keys) == 3
    with pytest.raises(ValueError, match="data does not contain any valid RSA or ECDSA public keys"):
        load_public_keys(b"nothing")


async def test_borrowed_time_is_told_to_the_audit_log() -> None:
    keys = TokenKeys(("iss",), NEW)
    clock = FakeClock(NOW)
    tokens = ServiceAccountTokens(keys, API, World(ALIVE).lookup, clock)
    text = make_token(keys, warn_after_s=60)
    found = await tokens.authenticate_token(text, API)
    assert found is not None
    assert found.annotations == ()
    clock.advance(70)
    found = await tokens.authenticate_token(text, API)
    assert found is not None
    assert found.annotations == (
        ("authentication.k8s.io/stale-token",
         "subject: system:serviceaccount:ns:sa, seconds after warning threshold: 10"),
    )  # fmt: skip


def test_tokens_that_nobody_shows_any_more_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serviceaccount, "_MAX_CACHED", 4)
    keys = TokenKeys(("iss",), NEW)
    used = make_token(keys)
    first = keys.verify(used)
    for _ in range(20):
        keys.verify(make_token(keys))
        assert keys.verify(used) is first, "it is not checked again"
        assert len(keys._verified) + len(keys._earlier) <= 8
    keys.forget_verified()
    assert keys.verify(used) is not first
