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

from tiphys.apimachinery.clock import FakeClock, rfc3339
from tiphys.apiserver.authn.serviceaccount import (
    LEGACY_ISSUER,
    Binding,
    TokenKeys,
    TokenRequest,
    load_public_keys,
)
from tiphys.apiserver.authn.serviceaccount_tokens import ServiceAccountTokens
from tiphys.apiserver.authn.tokens import Refused
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
    "node": ([ALIVE, ("nodes", "", obj("n", "u3"))], (NODE,), None),
    "node not there": ([ALIVE], (NODE,), INVALIDATED),
    "another node": (
        [ALIVE, ("nodes", "", obj("n", "u7"))], (NODE,),
        "node UID (u7) does not match service account node ref claim (u3)",
    ),
    "secret": ([ALIVE, ("secrets", "ns", obj("s", "u4"))], (Binding("secret", "s", "u4"),), None),
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
        assert keys.verify(text, moment) is not None
    else:
        with pytest.raises(Refused, match=fault):
            keys.verify(text, moment)


def test_keys_and_issuers_change() -> None:
    before = TokenKeys(("old",), OLD)
    text = make_token(before)
    both = TokenKeys(("new", "old"), NEW, [public_pem(OLD)])
    assert both.verify(text, NOW) is not None
    assert jwt.decode(make_token(both), options={"verify_signature": False})["iss"] == "new"
    assert len(both.jwks()["keys"]) == 2
    assert TokenKeys(("new",), NEW, [public_pem(OLD)]).verify(text, NOW) is None, "not ours any more"
    with pytest.raises(Refused, match="error in cryptographic primitive"):
        TokenKeys(("new", "old"), NEW).verify(text, NOW)


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "." * 10, "\0.\0.\0"])
def test_what_is_no_token_of_ours(text: str) -> None:
    assert TokenKeys(("iss",), NEW).verify(text, NOW) is None


def test_unsigned_tokens_are_refused() -> None:
    keys = TokenKeys(("iss",), NEW)
    claims = jwt.decode(make_token(keys), options={"verify_signature": False})
    with pytest.raises(Refused):
        keys.verify(jwt.encode(claims, None, algorithm="none"), NOW)
    with pytest.raises(Refused):  # the public key must not do as a shared secret
        keys.verify(_hmac(claims, public_pem(NEW)), NOW)


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


def legacy(signing_key: bytes = NEW, **changes: str) -> str:
    prefix = "kubernetes.io/serviceaccount/"
    claims = {
        "iss": LEGACY_ISSUER,
        "sub": "system:serviceaccount:ns:sa",
        f"{prefix}namespace": "ns",
        f"{prefix}secret.name": "s",
        f"{prefix}service-account.name": "sa",
        f"{prefix}service-account.uid": "u1",
    }
    return jwt.encode({**claims, **changes}, signing_key.decode(), algorithm="ES256")


def token_secret(text: str, **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "s", "uid": "u4", "labels": labels},
        "type": "kubernetes.io/service-account-token",
        "data": {"token": base64.b64encode(text.encode()).decode()},
    }


async def test_older_tokens_in_secrets() -> None:
    text = legacy()
    world = World(ALIVE, ("secrets", "ns", token_secret(text)))
    keys = TokenKeys(("iss",), NEW)
    tokens = ServiceAccountTokens(keys, API, world.lookup, FakeClock(NOW), world.mark)
    found = await tokens.authenticate_token(text, API)
    assert found is not None
    assert (found.user.name, found.user.extra, found.audiences) == ("system:serviceaccount:ns:sa", (), API)
    assert found.annotations == (("authentication.k8s.io/legacy-token", "system:serviceaccount:ns:sa"),)
    assert world.used == [("s", "2026-01-01")]
    with pytest.raises(Refused, match="is invalid for the target audiences"):
        await tokens.authenticate_token(text, ("vault",))


@pytest.mark.parametrize(
    ("labels", "used"),
    [
        ({}, True),
        ({"kubernetes.io/legacy-token-last-used": "2025-12-31"}, True),
        ({"kubernetes.io/legacy-token-last-used": "2026-01-01"}, False),
    ],
)
async def test_the_day_of_use_is_written_once(labels: dict[str, str], used: bool) -> None:
    text = legacy()
    world = World(ALIVE, ("secrets", "ns", token_secret(text, **labels)))
    tokens = ServiceAccountTokens(TokenKeys(("i",), NEW), API, world.lookup, FakeClock(NOW), world.mark)
    await tokens.authenticate_token(text, API)
    assert bool(world.used) is used


LEGACY_FAULTS: dict[str, tuple[str, list[Any], str]] = {
    "another copy": (legacy(), [ALIVE, ("secrets", "ns", token_secret("x"))],
                     "service account token does not match server's copy"),
    "no secret": (legacy(), [ALIVE], INVALIDATED),
    "marked": (
        legacy(),
        [ALIVE, ("secrets", "ns", token_secret("", **{"kubernetes.io/legacy-token-invalid-since": "x"}))],
        "service account token does not match server's copy",
    ),
    "no name": (
        legacy(**{"kubernetes.io/serviceaccount/secret.name": ""}), [], "secretName claim is missing"
    ),
    "another subject": (legacy(sub="system:serviceaccount:ns:other"), [], "sub claim is invalid"),
    "another key": (legacy(OLD), [], "go-jose/go-jose: error in cryptographic primitive"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "objects", "fault"), LEGACY_FAULTS.values(), ids=LEGACY_FAULTS)
async def test_older_tokens_that_are_refused(text: str, objects: list[Any], fault: str) -> None:
    tokens = ServiceAccountTokens(TokenKeys(("i",), NEW), API, World(*objects).lookup, FakeClock(NOW))
    with pytest.raises(Refused) as caught:
        await tokens.authenticate_token(text, API)
    assert str(caught.value) == fault


async def test_a_token_marked_invalid() -> None:
    text = legacy()
    marked = token_secret(text, **{"kubernetes.io/legacy-token-invalid-since": "2026-01-01"})
    world = World(ALIVE, ("secrets", "ns", marked))
    tokens = ServiceAccountTokens(TokenKeys(("i",), NEW), API, world.lookup, FakeClock(NOW), world.mark)
    with pytest.raises(Refused, match="the token in secret ns/s for service account ns/sa has been marked"):
        await tokens.authenticate_token(text, API)
    assert not world.used


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


async def test_since_when_use_is_written_down(api: Any) -> None:
    name = "kube-apiserver-legacy-service-account-token-tracking"
    found = await api.get(f"/api/v1/namespaces/kube-system/configmaps/{name}")
    assert found["data"] == {"since": "2026-01-01"}


async def test_last_use_through_the_server(api: Any) -> None:
    secrets = "/api/v1/namespaces/default/secrets"
    account = await api.get("/api/v1/namespaces/default/serviceaccounts/default")
    made = await api.create(
        secrets,
        {
            "metadata": {"name": "s", "annotations": {"kubernetes.io/service-account.name": "default"}},
            "type": "kubernetes.io/service-account-token",
        },
    )
    bound = {"kind": "Secret", "apiVersion": "v1", "name": "s", "uid": made["metadata"]["uid"]}
    text = api.server.keys.sign(
        TokenRequest(account, (api.server.keys.issuer,), 1 << 32, (Binding("secret", "s", bound["uid"]),)),
        api.clock.now(),
    )
    for _ in range(2):
        assert (await api("GET", "/api", user=text)).status == 200
    labels = (await api.get(f"{secrets}/s"))["metadata"]["labels"]
    assert labels == {"kubernetes.io/legacy-token-last-used": "2026-01-01"}
