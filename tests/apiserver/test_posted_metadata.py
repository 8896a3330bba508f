"""What is posted and not stored: its namespace must be the path's, what the server says is not taken."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


AUTHZ, AUTHN = "/apis/authorization.k8s.io/v1", "/apis/authentication.k8s.io/v1"
ASKED = {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}}
REVIEWS: dict[str, dict[str, Any]] = {
    f"{AUTHZ}/subjectaccessreviews": ASKED | {"user": "x"},
    f"{AUTHZ}/selfsubjectaccessreviews": ASKED,
    f"{AUTHZ}/selfsubjectrulesreviews": {"namespace": "default"},
    f"{AUTHN}/tokenreviews": {"token": "x"},
}
LOCAL = f"{AUTHZ}/namespaces/default/localsubjectaccessreviews"
PODS = "/api/v1/namespaces/default/pods"
SAID = {
    "namespace": "other", "uid": "x", "creationTimestamp": "2020-01-01T00:00:00Z", "selfLink": "/x",
    "deletionTimestamp": "2020-01-01T00:00:00Z", "deletionGracePeriodSeconds": 3,
}  # fmt: skip
ELSEWHERE = (400, "the namespace of the provided object does not match the namespace sent on the request")


@pytest.mark.parametrize("path", REVIEWS)
async def test_reviews_forget_what_the_server_says(api: Any, path: str) -> None:
    """A question of the whole cluster is in no namespace, whatever it says."""
    made = await api.create(path, {"metadata": SAID, "spec": REVIEWS[path]})
    assert made["metadata"] == {}


async def test_a_local_review_is_of_its_namespace(api: Any) -> None:
    body = {"metadata": SAID | {"namespace": "default"}, "spec": ASKED | {"user": "x"}}
    made = await api.create(LOCAL, body)
    assert made["metadata"] == {"namespace": "default"}
    named = await api("POST", LOCAL, {**body, "metadata": {"name": "n"}})
    assert "must be empty except for namespace" in named.message


@pytest.mark.parametrize(
    ("path", "rest"),
    [
        (LOCAL, {"spec": ASKED | {"user": "x"}}),
        (f"{PODS}/p/eviction", {}),
        (f"{PODS}/p/binding", {"target": {"kind": "Node", "name": "n"}}),
        ("/api/v1/namespaces/default/bindings", {"target": {"kind": "Node", "name": "n"}}),
        ("/api/v1/namespaces/default/serviceaccounts/default/token", {"spec": {}}),
    ],
)
async def test_of_another_namespace(api: Any, make_pod: Any, path: str, rest: dict[str, Any]) -> None:
    made = await api.create(PODS, make_pod("p"))
    for name in ({}, {"name": "p"}):
        answer = await api("POST", path, {"metadata": {"namespace": "other", **name}, **rest})
        assert (answer.status, answer.message) == ELSEWHERE
    assert await api.get(f"{PODS}/p") == made
