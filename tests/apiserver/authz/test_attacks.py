"""Ways in which somebody might get at more than their rights: none of them works."""
# ruff: noqa: E501

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio

from tiphys.wire.message import RepeatedHeaders, Request

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


RBAC = "/apis/rbac.authorization.k8s.io/v1"
GROUP = "rbac.authorization.k8s.io"
SECRETS = "/api/v1/namespaces/default/secrets"


async def grant(api: Any, *rules: dict[str, Any], user: str = "alice") -> None:
    await api.create(f"{RBAC}/clusterroles", {"metadata": {"name": user}, "rules": list(rules)})
    ref = {"apiGroup": GROUP, "kind": "ClusterRole", "name": user}
    subjects = [{"apiGroup": GROUP, "kind": "User", "name": user}]
    binding = {"metadata": {"name": user}, "roleRef": ref, "subjects": subjects}
    await api.create(f"{RBAC}/clusterrolebindings", binding)
    await api.settle()


def rule(resources: str, *verbs: str, group: str = "", **more: Any) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": [resources], "verbs": list(verbs), **more}


@pytest_asyncio.fixture(loop_scope="module")
async def secrets(api: Any) -> Any:
    """A cluster with two Secrets, of which alice may read one."""
    for name in ("mine", "theirs"):
        await api.create(SECRETS, {"metadata": {"name": name}, "stringData": {"k": name}})
    own = rule("secrets", "get", "list", "watch", "deletecollection", resourceNames=["mine"])
    await grant(api, own, rule("pods", "*"))
    return api


SELECTORS = {
    # query -> the names that come back, None where it is refused
    "by its name": ("fieldSelector=metadata.name%3Dmine", ["mine"]),
    "twice its name": ("fieldSelector=metadata.name%3D%3Dmine", ["mine"]),
    "all": ("", None),
    "another name": ("fieldSelector=metadata.name%3Dtheirs", None),
    "a second selector": ("fieldSelector=&fieldSelector=metadata.name%3Dmine", None),
    "a second selector behind another": (
        "fieldSelector=type%3DOpaque&fieldSelector=metadata.name%3Dmine",
        None,
    ),
    "all but one": ("fieldSelector=metadata.name!%3Dmine", None),
    "both names, its own first": ("fieldSelector=metadata.name%3Dmine,metadata.name%3Dtheirs", []),
    "both names, its own last": ("fieldSelector=metadata.name%3Dtheirs,metadata.name%3Dmine", None),
    "a selector that cannot be read": ("fieldSelector=metadata.name%3Dmine,%3F", None),
    "its name as a label": ("labelSelector=metadata.name%3Dmine", None),
}


@pytest.mark.parametrize(("query", "names"), SELECTORS.values(), ids=SELECTORS)
async def test_names_in_selectors(secrets: Any, query: str, names: list[str] | None) -> None:
    answer = await secrets("GET", f"{SECRETS}?{query}", user="alice")
    if names is None:
        assert answer.status == 403, answer.raw
    else:
        assert [item["metadata"]["name"] for item in answer.json["items"]] == names


async def test_a_collection_is_not_deleted_by_the_right_to_one(secrets: Any) -> None:
    answer = await secrets("DELETE", f"{SECRETS}?fieldSelector=metadata.name%3Dmine", user="alice")
    assert answer.status == 403
    assert len((await secrets.get(SECRETS))["items"]) == 2


PATHS = {
    "two slashes": "//api/v1/namespaces/default/secrets",
    "two slashes within": "/api//v1/namespaces/default//secrets",
    "a slash at the end": "/api/v1/namespaces/default/secrets/",
    "dots": "/api/v1/namespaces/default/pods/../secrets",
    "up from the open": "/healthz/../api/v1/namespaces/default/secrets",
    "another case": "/API/v1/namespaces/default/secrets",
    "the watch of old": "/api/v1/watch/namespaces/default/secrets",
    "the proxy of old": "/api/v1/proxy/namespaces/default/secrets",
    "another namespace's way": "/api/v1/namespaces/default/pods/secrets/theirs",
    "a subresource of what one may": "/api/v1/namespaces/default/pods/x/secrets",
    "as a name": "/api/v1/namespaces/default/secrets/mine/../theirs",
}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
async def test_paths(secrets: Any, path: str) -> None:
    answer = await secrets("GET", path, user="alice")
    assert answer.status in (403, 404, 405), answer.raw
    assert b"theirs" not in answer.raw or b'"data"' not in answer.raw


async def test_rights_in_a_namespace_reach_no_other(api: Any) -> None:
    """Not by a path either in which one namespace is within another, though a right to the outer was used."""
    for name in ("own", "other"):
        await api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    await api.create(f"{RBAC}/namespaces/own/roles", {"metadata": {"name": "r"}, "rules": [rule("*", "*")]})
    ref = {"apiGroup": GROUP, "kind": "Role", "name": "r"}
    subjects = [{"apiGroup": GROUP, "kind": "User", "name": "alice"}]
    binding = {"metadata": {"name": "r"}, "roleRef": ref, "subjects": subjects}
    await api.create(f"{RBAC}/namespaces/own/rolebindings", binding)
    await api.settle()
    assert (await api("GET", "/api/v1/namespaces/own", user="alice")).status == 200
    inner = "/api/v1/namespaces/own/namespaces"
    other = {"metadata": {"name": "other", "labels": {"mine": "true"}}, "spec": {"finalizers": []}}
    for method, path, body in (
        ("GET", f"{inner}/other", None),
        ("GET", f"{inner}/own", None),
        ("GET", inner, None),
        ("GET", f"{inner}?watch=true", None),
        ("GET", "/api/v1/watch/namespaces/own/namespaces/other", None),
        ("POST", inner, {"metadata": {"name": "third"}}),
        ("PUT", f"{inner}/other", other),
        ("PUT", f"{inner}/other/finalize", other),
        ("PUT", f"{inner}/other/status", other),
        ("DELETE", f"{inner}/other", None),
        ("DELETE", inner, None),
    ):
        response = await api.send(method, path, body, user="alice")
        assert response.status == 404, (method, path, response.body)
    patched = await api.patch(f"{inner}/other", {"metadata": {"labels": {"mine": "true"}}}, user="alice")
    assert patched.status == 404
    left = await api.get("/api/v1/namespaces/other")
    assert "mine" not in left["metadata"]["labels"]
    assert "deletionTimestamp" not in left["metadata"]


RULES: dict[str, tuple[dict[str, Any], str, str, bool]] = {
    "objects are not their subresources": (
        rule("pods", "create"),
        "POST",
        f"{SECRETS[:-7]}pods/p/exec",
        False,
    ),
    "a subresource is not the object": (rule("pods/log", "get"), "GET", f"{SECRETS[:-7]}pods/p", False),
    "no wildcard for subresources of one": (rule("pods/*", "get"), "GET", f"{SECRETS[:-7]}pods/p/log", False),
    "a subresource of all": (rule("*/log", "get"), "GET", f"{SECRETS[:-7]}pods/p/log", True),
    "everything": (rule("*", "get"), "GET", f"{SECRETS[:-7]}pods/p/log", True),
    "another group": (rule("deployments", "list"), "GET", "/apis/apps/v1/deployments", False),
    "no parts of names": (rule("pod", "list"), "GET", "/api/v1/pods", False),
    "nothing is created by name": (
        rule("pods", "create", resourceNames=["p"]),
        "POST",
        f"{SECRETS[:-7]}pods",
        False,
    ),
    "nor under a name": (rule("pods", "create", resourceNames=["p"]), "POST", f"{SECRETS[:-7]}pods/p", False),
    "verbs are exact": (rule("pods", "GET"), "GET", f"{SECRETS[:-7]}pods/p", False),
}


@pytest.mark.parametrize(("given", "method", "path", "may"), RULES.values(), ids=RULES)
async def test_rules(api: Any, given: dict[str, Any], method: str, path: str, may: bool) -> None:
    await grant(api, given)
    body = {"metadata": {"name": "p"}} if method == "POST" else None
    status = (await api(method, path, body, user="alice")).status
    assert (status not in (403, 405)) is may, status


async def _send(api: Any, *pairs: tuple[str, str]) -> Any:
    headers = RepeatedHeaders({"accept": "application/json"})
    for name, value in pairs:
        if name in headers:
            headers.repeat(name, value)
        else:
            headers[name] = value
    return await api.server.handler(Request("GET", SECRETS, "", headers))


HEADERS: dict[str, tuple[tuple[str, str], ...]] = {
    "a proxy's word without a proxy": (("x-remote-user", "admin"), ("x-remote-group", "system:masters")),
    "a proxy's word beside a token": (
        ("authorization", "Bearer alice"), ("x-remote-user", "admin"), ("x-remote-group", "system:masters"),
    ),
    "two tokens": (("authorization", "Bearer alice"), ("authorization", "Bearer admin")),
    "a token that is a list": (("authorization", "Bearer alice, Bearer admin"),),
    "masters by impersonation": (
        ("authorization", "Bearer alice"), ("impersonate-user", "admin"), ("impersonate-group", "system:masters"),
    ),
    "groups alone": (("authorization", "Bearer alice"), ("impersonate-group", "system:masters")),
    "an empty name": (
        ("authorization", "Bearer alice"), ("impersonate-user", ""), ("impersonate-group", "system:masters"),
    ),
    "an extra alone": (("authorization", "Bearer alice"), ("impersonate-extra-a", "b")),
}  # fmt: skip


@pytest.mark.parametrize("pairs", HEADERS.values(), ids=HEADERS)
async def test_headers(api: Any, pairs: tuple[tuple[str, str], ...]) -> None:
    response = await _send(api, *pairs)
    assert response.status in (400, 401, 403), response.body


async def test_rights_are_not_made(api: Any) -> None:
    """Neither a role of more, nor one that gathers others, nor a binding to more, nor a label on a role."""
    await grant(api, rule("*", "create", "update", "patch", group=GROUP), rule("pods", "get"))
    more = [rule("secrets", "get")]
    gathers = {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}
    admin = {"apiGroup": GROUP, "kind": "ClusterRole", "name": "cluster-admin"}
    subject = {"apiGroup": GROUP, "kind": "User", "name": "alice"}
    for path, body in (
        (f"{RBAC}/clusterroles", {"metadata": {"name": "r"}, "rules": more}),
        (f"{RBAC}/namespaces/default/roles", {"metadata": {"name": "r"}, "rules": more}),
        (f"{RBAC}/clusterroles", {"metadata": {"name": "r"}, "rules": [], "aggregationRule": gathers}),
        (f"{RBAC}/clusterrolebindings", {"metadata": {"name": "r"}, "roleRef": admin, "subjects": [subject]}),
        (f"{RBAC}/namespaces/default/rolebindings", {"metadata": {"name": "r"}, "roleRef": admin,
                                                     "subjects": [subject]}),
    ):  # fmt: skip
        answer = await api("POST", path, body, user="alice")
        assert answer.status == 403, (path, answer.raw)
    fine = {"metadata": {"name": "fine"}, "rules": [rule("pods", "get")]}
    assert (await api("POST", f"{RBAC}/clusterroles", fine, user="alice")).status == 201
    grown = await api.patch(f"{RBAC}/clusterroles/fine", {"rules": more}, user="alice")
    assert grown.status == 403
    labelled = {
        "metadata": {"name": "wide", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}}
    }
    answer = await api("POST", f"{RBAC}/clusterroles", {**labelled, "rules": more}, user="alice")
    assert answer.status == 403
