"""Bootstrap tokens: when they go, which of them sign, and what they sign."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest

from tiphys.controllers.bootstrap.plan import (
    Cleaning,
    Token,
    plan_cleaning,
    plan_signatures,
    sign,
    signing_token,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ONE, TWO = Token("aaaaaa", "1" * 16), Token("bbbbbb", "2" * 16)


def secret(
    name: str = "bootstrap-token-aaaaaa", kind: str = "bootstrap.kubernetes.io/token", **data: str
) -> Any:
    values = {"token-id": "aaaaaa", "token-secret": "1" * 16, "usage-bootstrap-signing": "true"}
    values |= {key.replace("_", "-"): value for key, value in data.items()}
    return {
        "metadata": {"name": name, "namespace": "kube-system"},
        "type": kind,
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()},
    }


@pytest.mark.parametrize(
    ("expiration", "want"),
    [
        ("", Cleaning()),
        ("2026-01-01T00:01:00Z", Cleaning(after_s=60.0)),
        ("2026-01-01T00:00:00Z", Cleaning(delete=True)),
        ("2025-12-31T23:00:00+01:00", Cleaning(delete=True)),
        ("soon", Cleaning(delete=True)),
        ("20270101T000000Z", Cleaning(delete=True)),
    ],
)
def test_cleaning(expiration: str, want: Cleaning) -> None:
    assert plan_cleaning(secret(expiration=expiration), NOW) == want


def test_an_expiry_that_is_no_text() -> None:
    stored = secret()
    stored["data"]["expiration"] = "//4A"
    assert plan_cleaning(stored, NOW) == Cleaning(delete=True)


@pytest.mark.parametrize(
    ("stored", "signs"),
    [
        (secret(), True),
        (secret("bootstrap-token-x"), False),
        (secret(kind="Opaque"), False),
        (secret(usage_bootstrap_signing="false"), False),
        (secret(token_secret="short"), False),
        (secret(expiration="2025-01-01T00:00:00Z"), False),
        ({**secret(), "metadata": {"name": "bootstrap-token-aaaaaa", "deletionTimestamp": "x"}}, False),
    ],
)
def test_which_sign(stored: Any, signs: bool) -> None:
    assert signing_token(stored, NOW) == (ONE if signs else None)


def test_a_signature_verifies_with_its_content() -> None:
    header, nothing, signature = sign(ONE, "content").split(".")
    assert nothing == ""
    payload = base64.urlsafe_b64encode(b"content").rstrip(b"=").decode()
    whole = f"{header}.{payload}.{signature}"
    digest = hmac.new(("1" * 16).encode(), f"{header}.{payload}".encode(), hashlib.sha256).digest()
    assert signature == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert jwt.get_unverified_header(whole)["kid"] == "aaaaaa"


def test_signatures_come_and_go() -> None:
    plain: dict[str, Any] = {"data": {"kubeconfig": "k", "other": "x"}}
    first = plan_signatures(plain, [ONE, TWO])
    assert first is not None
    assert set(first) == {"kubeconfig", "other", "jws-kubeconfig-aaaaaa", "jws-kubeconfig-bbbbbb"}
    assert plan_signatures({"data": first}, [ONE, TWO]) is None, "a second look plans nothing"
    fewer = plan_signatures({"data": first}, [TWO])
    assert fewer is not None
    assert "jws-kubeconfig-aaaaaa" not in fewer
    changed = plan_signatures({"data": {**first, "kubeconfig": "l"}}, [ONE, TWO])
    assert changed is not None
    assert changed["jws-kubeconfig-aaaaaa"] != first["jws-kubeconfig-aaaaaa"]
    assert plan_signatures({"data": {"x": "y"}}, [ONE]) is None
