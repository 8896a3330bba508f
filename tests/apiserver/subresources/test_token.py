"""TokenRequest to the letter."""
# ruff: noqa: E501

from __future__ import annotations

from typing import Any

import jwt
import pytest

PATH = "/api/v1/namespaces/default/serviceaccounts/default/token"
ISSUER = "https://kubernetes.default.svc.cluster.local"


def claims(made: Any) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(made["status"]["token"], options={"verify_signature": False})
    return found


async def test_what_is_answered(api: Any) -> None:
    account = await api.get(PATH.removesuffix("/token"))
    made = await api.create(PATH, {"spec": {"audiences": ["a"], "expirationSeconds": 700}})
    assert made["metadata"] == {
        "name": "default",
        "namespace": "default",
        "uid": account["metadata"]["uid"],
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    assert made["spec"] == {"audiences": ["a"], "expirationSeconds": 700, "boundObjectRef": None}
    assert made["status"]["expirationTimestamp"] == "2026-01-01T00:11:40Z"
    found = claims(made)
    assert (found["iss"], found["aud"], found["exp"] - found["iat"]) == (ISSUER, ["a"], 700)
    assert found["sub"] == "system:serviceaccount:default:default"
    made = await api.create(PATH, {"spec": {}})
    assert made["spec"] == {"audiences": [ISSUER], "expirationSeconds": 3600, "boundObjectRef": None}


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        ({"spec": {"expirationSeconds": 599}}, 422,
         'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes'),
        ({"spec": {"expirationSeconds": 2**32 + 1}}, 422,
         'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 4294967297: may not specify a duration larger than 2^32 seconds'),
        ({"metadata": {"name": "x"}}, 422,
         'TokenRequest.authentication.k8s.io "default" is invalid: metadata.name: Invalid value: "x": must match the service account name if specified'),
        ({"metadata": {"namespace": "x"}}, 400,
         "the namespace of the provided object does not match the namespace sent on the request"),
        ({"spec": {"boundObjectRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}}}, 400,
         "cannot bind token to object of type apps/v1, Kind=Deployment"),
        ({"spec": {"boundObjectRef": {}}}, 400, "cannot bind token to object of type /, Kind="),
        ({"spec": {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "x"}}}, 404, 'pods "x" not found'),
        ({"spec": {"boundObjectRef": {"kind": "Node", "name": "x"}}}, 404, 'nodes "x" not found'),
    ],
)  # fmt: skip
async def test_refusals(api: Any, body: Any, code: int, text: str) -> None:
    answer = await api("POST", PATH, body)
    assert (answer.status, answer.message) == (code, text)


async def test_bound_to_a_pod_and_its_node(api: Any, make_pod: Any) -> None:
    node = await api.create("/api/v1/nodes", {"metadata": {"name": "n1"}})
    pod = await api.create("/api/v1/namespaces/default/pods", make_pod("p", nodeName="n1"))
    ref = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": pod["metadata"]["uid"]}
    made = await api.create(PATH, {"spec": {"boundObjectRef": ref, "expirationSeconds": 3607}})
    found = claims(made)
    private = found["kubernetes.io"]
    assert private["pod"] == {"name": "p", "uid": pod["metadata"]["uid"]}
    assert private["node"] == {"name": "n1", "uid": node["metadata"]["uid"]}
    assert (found["exp"] - found["iat"], private["warnafter"] - found["iat"]) == (365 * 24 * 3600, 3607)
    assert made["spec"]["expirationSeconds"] == 3607
    assert made["status"]["expirationTimestamp"] == "2026-01-01T01:00:07Z"
    answer = await api("POST", PATH, {"spec": {"boundObjectRef": {**ref, "uid": "other"}}})
    assert (answer.status, answer.message) == (
        409,
        'Operation cannot be fulfilled on Pod "p": the UID in the bound object reference (other) does not match '
        "the UID in record. The object might have been deleted and then recreated",
    )
    review = await api.create(
        "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": made["status"]["token"]}}
    )
    extra = review["status"]["user"]["extra"]
    assert extra["authentication.kubernetes.io/pod-name"] == ["p"]
    assert extra["authentication.kubernetes.io/node-uid"] == [node["metadata"]["uid"]]
    await api("DELETE", "/api/v1/namespaces/default/pods/p?gracePeriodSeconds=0")
    review = await api.create(
        "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": made["status"]["token"]}}
    )
    assert review["status"] == {
        "error": "[invalid bearer token, service account token has been invalidated]", "user": {}
    }  # fmt: skip


async def test_a_pod_of_another_account(api: Any, make_pod: Any) -> None:
    await api.create("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "other"}})
    await api.create("/api/v1/namespaces/default/pods", make_pod("p", serviceAccountName="other"))
    body = {"spec": {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "p"}}}
    answer = await api("POST", PATH, body)
    assert (answer.status, answer.message) == (
        400,
        'cannot bind token for serviceaccount "default" to pod running with different serviceaccount name.',
    )


async def test_a_longest_lifetime(serving: Any) -> None:
    async with serving(service_account_max_token_expiration_s=7200) as api:
        answer = await api("POST", PATH, {"spec": {"expirationSeconds": 86400}})
        assert answer.json["spec"]["expirationSeconds"] == 7200
        assert "requested expiration of 86400 seconds shortened to 7200 seconds" in answer.headers["warning"]


async def test_dry_run_makes_no_token(api: Any) -> None:
    made = await api.create(PATH + "?dryRun=All", {"spec": {}})
    assert made["status"]["token"] == ""
