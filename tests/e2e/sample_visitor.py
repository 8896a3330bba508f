"""A pod that finds out by itself who it is: it asks the API, and checks its token as a stranger would.

It runs as a container of Python's standard library alone and prints one line of JSON. ``sample_image`` packs
it, ``test_accounts`` runs it.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import http.client
import json
import os
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Object = dict[str, Any]
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
Point = tuple[int, int]
# The curve P-256 (NIST SP 800-186, 3.2.1.3).
_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_BASE: Point = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)


class Cluster:
    """The API server, as its environment and its mounted files tell a pod."""

    def __init__(self) -> None:
        self._at = (os.environ["KUBERNETES_SERVICE_HOST"], int(os.environ["KUBERNETES_SERVICE_PORT"]))
        self._trust = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
        self._token = (ACCOUNT / "token").read_text()

    def ask(self, path: str, body: Object | None = None) -> Object:
        connection = http.client.HTTPSConnection(*self._at, context=self._trust, timeout=10)
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        method = "GET" if body is None else "POST"
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        return dict(json.loads(connection.getresponse().read()))


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def added(a: Point | None, b: Point | None) -> Point | None:
    """Return the sum of two points of the curve; None is the neutral one."""
    if a is None or b is None:
        return a or b
    if a[0] == b[0] and (a[1] + b[1]) % _P == 0:
        return None
    if a == b:
        slope = (3 * a[0] ** 2 - 3) * pow(2 * a[1], -1, _P)
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, _P)
    x = (slope**2 - a[0] - b[0]) % _P
    return x, (slope * (a[0] - x) - a[1]) % _P


def times(number: int, point: Point) -> Point | None:
    total: Point | None = None
    step: Point | None = point
    while number:
        total = added(total, step) if number & 1 else total
        number, step = number >> 1, added(step, step)
    return total


def is_signed(token: str, key: Object) -> bool:
    """Say whether the key made the token's signature (ES256)."""
    signed, _, encoded = token.rpartition(".")
    signature = decoded(encoded)
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    x, y = (int.from_bytes(decoded(key[part]), "big") for part in ("x", "y"))
    digest = int.from_bytes(hashlib.sha256(signed.encode()).digest(), "big")
    inverse = pow(s, -1, _ORDER)
    found = added(times(digest * inverse % _ORDER, _BASE), times(r * inverse % _ORDER, (x, y)))
    return found is not None and found[0] % _ORDER == r


def verified(cluster: Cluster, token: str) -> Object:
    """Return a token's claims, checked by what the issuer publishes. Raises AssertionError, KeyError."""
    head, claims = (json.loads(decoded(part)) for part in token.split(".")[:2])
    found = cluster.ask("/.well-known/openid-configuration")
    assert found["issuer"] == claims["iss"], found
    assert head["alg"] in found["id_token_signing_alg_values_supported"], found
    keys = {one["kid"]: one for one in cluster.ask(urlsplit(found["jwks_uri"]).path)["keys"]}
    assert is_signed(token, keys[head["kid"]]), "signed by another"
    changed = token.replace(".", ".e", 1)
    assert not is_signed(changed, keys[head["kid"]]), "the check sees nothing"
    return dict(claims)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--token", type=Path, default=ACCOUNT / "token")
    token = parser.parse_args().token.read_text()
    cluster = Cluster()
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    who = cluster.ask("/apis/authentication.k8s.io/v1/selfsubjectreviews", review)
    claims = verified(cluster, token)
    said = {
        "user": who["status"]["userInfo"]["username"],
        "subject": claims["sub"],
        "audiences": claims["aud"],
        "pod": claims["kubernetes.io"]["pod"]["name"],
        "namespace": (ACCOUNT / "namespace").read_text(),
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main()
