"""What a Secret of a token must hold."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tiphys.controllers.tokens import plan

ACCOUNT = {"metadata": {"name": "sa", "namespace": "ns", "uid": "u1"}}


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def secret(data: dict[str, str] | None = None, **annotations: str) -> dict[str, Any]:
    found: dict[str, Any] = {"metadata": {"name": "s", "namespace": "ns", "annotations": annotations}}
    return found if data is None else found | {"data": {name: b64(value) for name, value in data.items()}}


@pytest.mark.parametrize(
    ("data", "ca", "missing"),
    [
        (None, "", {"namespace": "ns"}),
        (None, "CA", {"namespace": "ns", "ca.crt": "CA"}),
        ({"namespace": "other"}, "", {}),
        ({"namespace": "ns", "ca.crt": "OLD"}, "CA", {"ca.crt": "CA"}),
        ({"namespace": "ns", "ca.crt": "OLD"}, "", {}),
        ({"namespace": "", "ca.crt": "CA"}, "CA", {"namespace": "ns"}),
    ],
    ids=["nothing", "nothing but a CA", "its own namespace", "another CA", "no CA known", "an empty value"],
)
def test_what_is_missing(data: dict[str, str] | None, ca: str, missing: dict[str, str]) -> None:
    assert plan.missing_data(secret(data), ca) == {name: b64(value) for name, value in missing.items()}


@pytest.mark.parametrize(("data", "lacks"), [(None, True), ({"token": ""}, True), ({"token": "t"}, False)])
def test_who_lacks_a_token(data: dict[str, str] | None, lacks: bool) -> None:
    assert plan.lacks_token(secret(data)) is lacks


def test_what_a_token_says() -> None:
    assert plan.claims(secret(), ACCOUNT) == {
        "iss": "kubernetes/serviceaccount",
        "kubernetes.io/serviceaccount/namespace": "ns",
        "kubernetes.io/serviceaccount/secret.name": "s",
        "kubernetes.io/serviceaccount/service-account.name": "sa",
        "kubernetes.io/serviceaccount/service-account.uid": "u1",
        "sub": "system:serviceaccount:ns:sa",
    }


def test_filling_keeps_what_is_there() -> None:
    found = plan.filled(secret({"extra": "x"}, mine="y"), ACCOUNT, {"token": "t"})
    assert found["data"] == {"extra": b64("x"), "token": "t"}
    assert found["metadata"]["annotations"] == {"mine": "y", plan.ACCOUNT: "sa", plan.ACCOUNT_UID: "u1"}


def test_references() -> None:
    named = ACCOUNT | {"secrets": [{"name": "a"}, {"name": "s"}]}
    changed = plan.without_reference(named, "s")
    assert changed is not None
    assert changed["secrets"] == [{"name": "a"}]
    assert plan.without_reference(changed, "s") is None
    assert plan.without_reference(ACCOUNT, "s") is None
