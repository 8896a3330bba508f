"""Tokens that lie in Secrets: what makes them good, and what is written down and told of their use."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from tiphys.apimachinery.clock import FakeClock, rfc3339
from tiphys.apimachinery.errors import NotFound
from tiphys.apiserver.authn.legacy_tokens import INVALID_SINCE, INVALIDATED, LAST_USED
from tiphys.apiserver.authn.serviceaccount import LEGACY_ISSUER, TokenKeys
from tiphys.apiserver.authn.serviceaccount_tokens import ServiceAccountTokens
from tiphys.apiserver.authn.tokens import Refused
from tiphys.apiserver.controlplane.token_tracking import TokenTracking
from tiphys.controllers.tokens import plan
from tiphys.wire.jwt_keys import SigningKey
from tiphys.wire.pki import make_signing_key

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OLD, NEW = make_signing_key(), make_signing_key()
API = ("api",)
PREFIX = "kubernetes.io/serviceaccount/"
SUBJECT = "system:serviceaccount:ns:sa"
MAP = "/api/v1/namespaces/kube-system/configmaps/kube-apiserver-legacy-service-account-token-tracking"


def legacy(signing_key: bytes = NEW, **changes: str) -> str:
    claims = {
        "iss": LEGACY_ISSUER,
        "sub": SUBJECT,
        f"{PREFIX}namespace": "ns",
        f"{PREFIX}secret.name": "s",
        f"{PREFIX}service-account.name": "sa",
        f"{PREFIX}service-account.uid": "u1",
    }
    return jwt.encode({**claims, **changes}, signing_key.decode(), algorithm="ES256")


TEXT = legacy()


def account(*secrets: str, uid: str = "u1", **meta: Any) -> dict[str, Any]:
    named = [{"name": name} for name in secrets]
    return {"metadata": {"name": "sa", "namespace": "ns", "uid": uid, **meta}, "secrets": named}


def secret(text: str = TEXT, labels: Mapping[str, str] | None = None, **meta: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "s", "namespace": "ns", "uid": "u4", "labels": dict(labels or {}), **meta},
        "type": "kubernetes.io/service-account-token",
        "data": {"token": base64.b64encode(text.encode()).decode()},
    }


class World:
    """An account and its Secret, and the authenticator that looks at them."""

    def __init__(self, account: dict[str, Any] | None, secret: dict[str, Any] | None) -> None:
        self.objects = {"serviceaccounts": account, "secrets": secret}
        self.used: list[tuple[str, str]] = []
        self.tokens = ServiceAccountTokens(
            TokenKeys(("iss",), NEW), API, self.lookup, FakeClock(NOW), self.mark
        )

    async def lookup(self, plural: str, namespace: str, name: str) -> dict[str, Any] | None:
        assert (namespace, name) in (("ns", "sa"), ("ns", "s"))
        return self.objects[plural]

    async def mark(self, secret: dict[str, Any], today: str) -> None:
        self.used.append((secret["metadata"]["name"], today))

    def counted(self) -> dict[str, float]:
        samples = [sample for family in self.tokens.collect() for sample in family.samples]
        return {
            sample.name.removeprefix("serviceaccount_"): sample.value for sample in samples if sample.value
        }


async def test_nothing_is_looked_up_where_nobody_wants_it() -> None:
    world = World(None, None)
    keys, clock = TokenKeys(("iss",), NEW), FakeClock(NOW)
    tokens = ServiceAccountTokens(keys, API, world.lookup, clock, world.mark, looks_up=False)
    found = await tokens.authenticate_token(TEXT, API)
    assert found is not None
    assert (found.user.name, world.used) == (SUBJECT, [])
    assert found.annotations == (("authentication.k8s.io/legacy-token", SUBJECT),)
    with pytest.raises(Refused, match="is invalid for the target audiences"):
        await tokens.authenticate_token(TEXT, ("other",))


async def test_one_made_by_hand() -> None:
    world = World(account("other"), secret())
    found = await world.tokens.authenticate_token(TEXT, API)
    assert found is not None
    assert (found.user.name, found.user.uid, found.user.extra) == (SUBJECT, "u1", ())
    assert (found.audiences, found.warnings) == (API, ())
    assert dict(found.annotations) == {
        "authentication.k8s.io/legacy-token": SUBJECT,
        "authentication.k8s.io/legacy-token-manual-secret": "s",
    }
    assert world.used == [("s", "2026-01-01")]
    assert world.counted() == {"legacy_tokens_total": 1, "legacy_manual_token_uses_total": 1}
    with pytest.raises(Refused, match="is invalid for the target audiences"):
        await world.tokens.authenticate_token(TEXT, ("vault",))


async def test_one_that_the_cluster_made() -> None:
    world = World(account("other", "s"), secret())
    found = await world.tokens.authenticate_token(TEXT, API)
    assert found is not None
    assert found.warnings == (
        "Use tokens from the TokenRequest API or manually created secret-based tokens instead of "
        "auto-generated secret-based tokens.",
    )
    assert dict(found.annotations)["authentication.k8s.io/legacy-token-autogenerated-secret"] == "s"
    assert world.counted() == {"legacy_tokens_total": 1, "legacy_auto_token_uses_total": 1}


@pytest.mark.parametrize(
    ("last_used", "written"),
    [("", True), ("2025-12-31", True), ("2026-01-01", False), ("2026-01-02", False), ("soon", True)],
)
async def test_the_day_of_use_is_written_once(last_used: str, written: bool) -> None:
    world = World(account(), secret(labels={LAST_USED: last_used} if last_used else {}))
    await world.tokens.authenticate_token(TEXT, API)
    assert bool(world.used) is written


GONE = rfc3339(NOW - timedelta(seconds=1))
FAULTS: dict[str, tuple[str, dict[str, Any] | None, dict[str, Any] | None, str]] = {
    "another copy": (TEXT, account(), secret("x"), "service account token does not match server's copy"),
    "a copy that is no base64": (
        TEXT, account(), {**secret(), "data": {"token": "*"}},
        "service account token does not match server's copy",
    ),
    "no secret": (TEXT, account(), None, INVALIDATED),
    "a secret that goes": (TEXT, account(), secret(deletionTimestamp=GONE), INVALIDATED),
    "no account": (TEXT, None, secret(), 'serviceaccounts "sa" not found'),
    "an account that goes": (
        TEXT, account(deletionTimestamp=GONE), secret(), "service account ns/sa has been deleted"
    ),
    "another account of the name": (
        TEXT, account(uid="u9"), secret(), "service account UID (u9) does not match claim (u1)"
    ),
    "no subject": (legacy(sub=""), None, None, "sub claim is missing"),
    "no namespace": (legacy(**{f"{PREFIX}namespace": ""}), None, None, "namespace claim is missing"),
    "no secret's name": (legacy(**{f"{PREFIX}secret.name": ""}), None, None, "secretName claim is missing"),
    "no account's name": (
        legacy(**{f"{PREFIX}service-account.name": ""}), None, None, "serviceAccountName claim is missing"
    ),
    "no account's uid": (
        legacy(**{f"{PREFIX}service-account.uid": ""}), None, None, "serviceAccountUID claim is missing"
    ),
    "another subject": (legacy(sub="system:serviceaccount:ns:other"), None, None, "sub claim is invalid"),
    "another key": (legacy(OLD), None, None, "go-jose/go-jose: error in cryptographic primitive"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "account", "secret", "fault"), FAULTS.values(), ids=FAULTS)
async def test_those_that_are_refused(
    text: str, account: dict[str, Any] | None, secret: dict[str, Any] | None, fault: str
) -> None:
    world = World(account, secret)
    with pytest.raises(Refused) as caught:
        await world.tokens.authenticate_token(text, API)
    assert str(caught.value) == fault
    assert not world.used
    counted = {"legacy_tokens_total": 1} if caught.value.annotations else {}
    assert (world.counted(), bool(counted)) == (counted, "go-jose" not in fault)


async def test_one_marked_invalid_is_refused_and_its_use_written_down() -> None:
    world = World(account("s"), secret(labels={INVALID_SINCE: "2026-01-01"}))
    with pytest.raises(Refused) as caught:
        await world.tokens.authenticate_token(TEXT, API)
    assert str(caught.value) == (
        "the token in secret ns/s for service account ns/sa has been marked invalid. Use tokens from the "
        "TokenRequest API or manually created secret-based tokens, or remove the "
        "'kubernetes.io/legacy-token-invalid-since' label from the secret to temporarily allow use of this "
        "token"
    )
    assert caught.value.annotations == (
        ("authentication.k8s.io/legacy-token", SUBJECT),
        ("authentication.k8s.io/legacy-token-invalidated", "s/ns"),
    )
    assert world.used == [("s", "2026-01-01")]
    assert world.counted() == {"legacy_tokens_total": 1, "invalid_legacy_auto_token_uses_total": 1}


# -- through the server


async def filled_secret(api: Any) -> str:
    """Make a token Secret as the controller fills it; return the token."""
    owner = await api.get("/api/v1/namespaces/default/serviceaccounts/default")
    made = {
        "metadata": {
            "name": "s",
            "annotations": {"kubernetes.io/service-account.name": "default"},
        },
        "type": plan.TYPE,
    }
    made["metadata"]["namespace"] = "default"
    text = SigningKey(api.server.options.service_account_signing_key).sign(plan.claims(made, owner))
    await api.create("/api/v1/namespaces/default/secrets", made | {"data": {"token": plan.encoded(text)}})
    return text


async def test_use_warnings_and_the_end(api: Any) -> None:
    text = await filled_secret(api)
    path = "/api/v1/namespaces/default/secrets/s"
    answer = await api("GET", "/api/v1/namespaces/default/pods", user=text)
    assert answer.status == 403
    assert "warning" not in answer.headers
    labels = (await api.get(path))["metadata"]["labels"]
    assert labels == {LAST_USED: "2026-01-01"}

    owner = "/api/v1/namespaces/default/serviceaccounts/default"
    await api.patch(owner, {"secrets": [{"name": "s"}]})
    for _ in range(2):
        answer = await api("GET", "/api/v1/namespaces/default/pods", user=text)
        assert "auto-generated secret-based tokens" in answer.headers["warning"]

    await api.patch(path, {"metadata": {"labels": {INVALID_SINCE: "2026-01-01"}}})
    assert (await api("GET", "/api", user=text)).status == 401
    await api.patch(path, {"metadata": {"labels": {INVALID_SINCE: ""}}})
    assert (await api("GET", "/api", user=text)).status == 200
    await api("DELETE", path)
    assert (await api("GET", "/api", user=text)).status == 401


async def test_since_when_use_is_written_down(api: Any) -> None:
    found = await api.get(MAP)
    assert found["data"] == {"since": "2026-01-01"}


async def test_the_record_is_kept(api: Any) -> None:
    tracking = TokenTracking(api.server.backend)
    for since in ("soon", "2026-1-1", "2026-01-01T00:00:00Z", None):
        await api.patch(MAP, {"data": {"since": since, "x": "y"}})
        await tracking.look()
        assert (await api.get(MAP))["data"] == {"since": "2026-01-01", "x": "y"}, since
    await api.patch(MAP, {"data": {"since": "2025-12-31"}})
    await tracking.look()
    assert (await api.get(MAP))["data"]["since"] == "2025-12-31"

    await api("DELETE", MAP)
    await tracking.look()
    assert (await api("GET", MAP)).status == NotFound.code, "not sooner than after half an hour"
    api.clock.advance(1801)
    await tracking.look()
    assert (await api.get(MAP))["data"]["since"] == "2026-01-01"
