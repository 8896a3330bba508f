"""What a Secret of a service account's token must hold, and what such a token says. Pure.

Source: the "Managing Service Accounts" page, "Manual Secret management for ServiceAccounts".
"""

from __future__ import annotations

import base64
from typing import Any

from tiphys.apimachinery.meta import Object

TYPE = "kubernetes.io/service-account-token"
ACCOUNT = "kubernetes.io/service-account.name"
ACCOUNT_UID = "kubernetes.io/service-account.uid"
ISSUER = "kubernetes/serviceaccount"
"""Whom tokens in Secrets name: they have no end and are good only while they lie there."""
_CLAIM = "kubernetes.io/serviceaccount"


def claims(secret: Object, account: Object) -> dict[str, Any]:
    """Return what the token in a Secret says."""
    meta, owner = secret["metadata"], account["metadata"]
    return {
        "iss": ISSUER,
        f"{_CLAIM}/namespace": owner["namespace"],
        f"{_CLAIM}/secret.name": meta["name"],
        f"{_CLAIM}/service-account.name": owner["name"],
        f"{_CLAIM}/service-account.uid": owner["uid"],
        "sub": f"system:serviceaccount:{owner['namespace']}:{owner['name']}",
    }


def lacks_token(secret: Object) -> bool:
    return not (secret.get("data") or {}).get("token")


def missing_data(secret: Object, ca_pem: str) -> dict[str, str]:
    """Return what a Secret lacks besides the token itself, encoded; another authority is replaced."""
    data = secret.get("data") or {}
    found = {}
    if not data.get("namespace"):
        found["namespace"] = encoded(secret["metadata"]["namespace"])
    if ca_pem and data.get("ca.crt") != encoded(ca_pem):
        found["ca.crt"] = encoded(ca_pem)
    return found


def filled(secret: Object, account: Object, added: dict[str, str]) -> Object:
    """Return the Secret with new data, and marked with its account."""
    owner = account["metadata"]
    marks = {**marks_of(secret), ACCOUNT: owner["name"], ACCOUNT_UID: owner["uid"]}
    meta = {**secret["metadata"], "annotations": marks}
    return {**secret, "metadata": meta, "data": {**(secret.get("data") or {}), **added}}


def without_reference(account: Object, secret: str) -> Object | None:
    """Return an account that no longer names a Secret; None when it does not."""
    named = account.get("secrets") or []
    left = [reference for reference in named if reference.get("name") != secret]
    return {**account, "secrets": left} if len(left) < len(named) else None


def marks_of(obj: Object) -> dict[str, str]:
    return obj["metadata"].get("annotations") or {}


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
