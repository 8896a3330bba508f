"""What is served is what rights were asked for: requests made by seed, and what each one touched.

Nothing here reads paths: what was touched is seen in the answer and in the store. A failure shows
the request.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import pytest_asyncio
from tests.apiserver.conftest import TOKENS, sweep

from tiphys.apiserver.aggregation.controller import Aggregation
from tiphys.apiserver.authz.authorizer import Authorizer
from tiphys.apiserver.filters.requestinfo import RequestInfo
from tiphys.apiserver.options import TokenEntry
from tiphys.wire import http1
from tiphys.wire.message import Request, Response

pytestmark = pytest.mark.asyncio(loop_scope="module")
REQUESTS = 700
"""Of each user."""
RBAC = "/apis/rbac.authorization.k8s.io/v1"
GROUP = "rbac.authorization.k8s.io"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
USERS = {"root": "everything", "alice": "one namespace", "bob": "one name"}
_EXPECTED = (b"failed to create RequestInfo", b"no preferred addresses found")
CUSTOM = {
    # plural -> scope; those called like parts of paths are meant to confuse
    "foos": "Namespaced",
    "bars": "Cluster",
    "namespaces": "Cluster",
    "watch": "Namespaced",
    "proxy": "Namespaced",
    "status": "Namespaced",
}
REMOTE = ("remote.example.com", "v1")
KINDS = (
    ("api/v1", "configmaps", True), ("api/v1", "secrets", True), ("api/v1", "pods", True),
    ("api/v1", "serviceaccounts", True), ("api/v1", "namespaces", False), ("api/v1", "namespaces", False),
    ("api/v1", "nodes", False), ("apis/apps/v1", "deployments", True), (RBAC[1:], "roles", True),
    (RBAC[1:], "clusterroles", False), ("api/v1", "componentstatuses", False),
    ("apis/remote.example.com/v1", "things", True), ("api/v1", "bindings", True),
    *(("apis/example.com/v1", plural, scope == "Namespaced") for plural, scope in CUSTOM.items()),
)  # fmt: skip
ROOTS = (
    "apis//v1", "api/v1/v1", "apis/v1", "apis//remote.example.com/v1", "apis/remote.example.com//v1",
    "api//v1", "/api/v1", "apis/apps//v1", "apis/example.com/v1", "api/v1",
)  # fmt: skip
SUBRESOURCES = ("status", "finalize", "scale", "token", "eviction", "binding", "ephemeralcontainers", "log")
NAMES = ("mine", "theirs", "own", "other", "none")
NAMESPACES = ("own", "own", "other", "none")
ODD = ("", ".", "..", "watch", "proxy", "namespaces", "status", "own", "other", "mine", "%2F", "extra")
QUERIES = (
    "fieldSelector=metadata.name%3Dmine", "fieldSelector=metadata.name%3Dtheirs", "watch=true", "watch=false",
    "watch=1&fieldSelector=metadata.name%3Dmine", "fieldSelector=metadata.namespace%3Dother", "limit=1",
    "fieldSelector=metadata.name%3Dmine&fieldSelector=metadata.name%3Dtheirs", "namespace=other",
    "name=theirs", "fieldSelector=metadata.name%3Dmine&limit=x", "dryRun=All",
    "fieldSelector=metadata.name!%3Dmine",
    "fieldSelector=metadata.name%3Dmine&watch=%74rue", "labelSelector=!x&fieldSelector=metadata.name%3Dmine",
)  # fmt: skip
PATCHES = ("application/merge-patch+json", "application/apply-patch+yaml", "application/json-patch+json")


def _path(rng: random.Random) -> str:
    root, plural, namespaced = rng.choice(KINDS)
    odd = rng.random() < 0.5
    parts = [rng.choice(ROOTS) if odd and rng.random() < 0.3 else root]
    if rng.random() < 0.15:
        parts.append(rng.choice(("watch", "proxy")))
    if namespaced != (odd and rng.random() < 0.3) and rng.random() < 0.9:
        parts += ["namespaces", rng.choice(NAMESPACES)]
    parts.append(plural)
    if rng.random() < 0.7:
        parts.append(rng.choice(NAMES))
        if rng.random() < 0.3:
            parts.append(rng.choice(SUBRESOURCES))
    if not odd:
        return "/" + "/".join(parts)
    for _ in range(rng.choice((0, 1, 1, 2))):
        parts.insert(rng.randrange(1, len(parts) + 1), rng.choice(ODD))
    if rng.random() < 0.3:  # a part that comes twice, or goes
        place = rng.randrange(len(parts))
        parts[place : place + 1] = rng.choice(([parts[place]] * 2, []))
    path = "/" + "/".join(parts)
    match rng.randrange(12):
        case 0:
            path += "/"
        case 1:
            path = path.upper()
        case 2:
            path = path.replace("/", "%2f", 6).replace("%2f", "/", rng.randrange(6))
        case 3:
            path = path.replace("a", "%61")
        case 4:
            path += "?"
    return path


def _body(rng: random.Random, method: str, row: Any) -> tuple[bytes, str]:
    meta: dict[str, Any] = {}
    if rng.random() < 0.7:
        meta["name"] = rng.choice((*NAMES, "new"))
    if rng.random() < 0.4:
        meta["namespace"] = rng.choice(NAMESPACES)
    if method == "PATCH":
        kind = rng.choice(PATCHES)
        if kind == PATCHES[2]:
            return orjson.dumps([{"op": "add", "path": "/metadata/labels", "value": {"x": "y"}}]), kind
        meta["labels"] = {"x": str(rng.randrange(9))}
    else:
        kind = "application/json"
        if method == "DELETE":
            return rng.choice((b"", b"{}", b'{"dryRun":["All"]}')), kind
    named = {} if row is None else {"apiVersion": row.api_version, "kind": row.kind}
    return orjson.dumps({**named, "metadata": meta}), kind


def _rows(backend: Any, path: str) -> Any:
    """Return a row that a path may mean, for bodies to be of a kind that is taken."""
    plurals = set(path.strip("/").split("/"))
    return next((row for row in backend.table if row.plural in plurals and row.group != "example.com"), None)


class Asked:
    """Notes what authorizers are asked, and which API is asked in this one's place."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.infos: list[RequestInfo] = []
        self.passed: list[tuple[str, str]] = []
        decide = Authorizer.decide

        async def noted(authorizer: Authorizer, user: Any, info: RequestInfo) -> Any:
            if info.path:  # admission asks about more
                self.infos.append(info)
            return await decide(authorizer, user, info)

        async def passed(aggregation: Aggregation, service: Any, *arguments: Any) -> Response:
            self.passed.append((service["spec"]["group"], service["spec"]["version"]))
            return Response(200, {"content-type": "application/json"}, b"{}")

        monkeypatch.setattr(Authorizer, "decide", noted)
        monkeypatch.setattr(Aggregation, "_pass", passed)


async def _events(response: Response) -> list[Any]:
    """Return what a watch has to say at once."""
    assert response.stream is not None
    first = asyncio.ensure_future(anext(aiter(response.stream)))
    for _ in range(8):
        await asyncio.sleep(0)
    if not first.done():
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        return []
    chunk = first.result()
    await response.stream.aclose()  # type: ignore[attr-defined]
    return [orjson.loads(line)["object"] for line in chunk.splitlines() if line]


async def _shown(response: Response) -> list[Any]:
    """Return the objects in an answer."""
    if response.stream is not None:
        return await _events(response)
    raw = response.body if isinstance(response.body, bytes) else b"".join(response.body)
    if response.written is not None:
        response.written()
    if "json" not in response.headers.get("content-type", "") or not raw:
        return []
    value = orjson.loads(raw)
    if not isinstance(value, dict) or value.get("kind") == "Status":
        return []
    if str(value.get("kind")).endswith("List"):
        shown = {"apiVersion": value.get("apiVersion"), "kind": str(value["kind"]).removesuffix("List")}
        return [{**shown, **item} for item in value.get("items") or ()]
    return [value] if "metadata" in value else []


async def _furnish(api: Any) -> None:
    for plural, scope in CUSTOM.items():
        kind = plural.title()
        schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
        names = {"plural": plural, "singular": plural + "x", "kind": kind}
        version: dict[str, Any] = {"name": "v1", "served": True, "storage": True, "schema": schema}
        version["subresources"] = {"status": {}}
        custom = {"group": "example.com", "scope": scope, "names": names, "versions": [version]}
        await api.create(CRDS, {"metadata": {"name": f"{plural}.example.com"}, "spec": custom})
    group, number = REMOTE
    spec: dict[str, Any] = {
        "group": group,
        "version": number,
        "groupPriorityMinimum": 1,
        "versionPriority": 1,
    }
    spec["service"] = {"name": "remote", "namespace": "own"}
    spec["insecureSkipTLSVerify"] = True
    service = {"metadata": {"name": f"{number}.{group}"}, "spec": spec}
    await api.create("/apis/apiregistration.k8s.io/v1/apiservices", service)
    for name in ("own", "other", "mine", "theirs"):
        await api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    pod = {"containers": [{"name": "c", "image": "x"}]}
    selected = {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": pod},
    }
    for name in ("mine", "theirs", "own", "other"):
        meta = {"metadata": {"name": name}}
        await api.create("/api/v1/nodes", meta)
        for plural in (plural for plural, scope in CUSTOM.items() if scope == "Cluster"):
            await _custom(api, f"/apis/example.com/v1/{plural}", plural, meta)
        for namespace in ("own", "other"):
            below = f"namespaces/{namespace}"
            await api.create(f"/api/v1/{below}/serviceaccounts", meta)
            await api.create(f"/api/v1/{below}/configmaps", meta)
            await api.create(f"/api/v1/{below}/secrets", meta)
            bare = {
                **meta,
                "spec": {**pod, "automountServiceAccountToken": False, "serviceAccountName": "mine"},
            }
            await api.create(f"/api/v1/{below}/pods", bare)
            await api.create(f"/apis/apps/v1/{below}/deployments", {**meta, "spec": selected})
            for plural in (plural for plural, scope in CUSTOM.items() if scope == "Namespaced"):
                await _custom(api, f"/apis/example.com/v1/{below}/{plural}", plural, meta)


async def _custom(api: Any, path: str, plural: str, meta: Any) -> None:
    """Create a custom object, where its path says what it is."""
    answer = await api("POST", path, {"apiVersion": "example.com/v1", "kind": plural.title(), **meta})
    assert answer.status in (201, 404, 405), answer.raw


async def _grant(api: Any) -> None:
    def rule(**more: Any) -> dict[str, Any]:
        return {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"], **more}

    def bound(name: str, role: str) -> dict[str, Any]:
        ref = {"apiGroup": GROUP, "kind": role, "name": name}
        subjects = [{"apiGroup": GROUP, "kind": "User", "name": name}]
        return {"metadata": {"name": name}, "roleRef": ref, "subjects": subjects}

    everywhere = [rule(), {"nonResourceURLs": ["*"], "verbs": ["*"]}]
    for name, rules in (("root", everywhere), ("bob", [rule(resourceNames=["mine"])])):
        await api.create(f"{RBAC}/clusterroles", {"metadata": {"name": name}, "rules": rules})
        await api.create(f"{RBAC}/clusterrolebindings", bound(name, "ClusterRole"))
    below = f"{RBAC}/namespaces/own"
    await api.create(f"{below}/roles", {"metadata": {"name": "alice"}, "rules": [rule()]})
    await api.create(f"{below}/rolebindings", bound("alice", "Role"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(serving: Any) -> AsyncIterator[Any]:
    known = tuple(TokenEntry(name, name, name, ()) for name in USERS)
    async with serving(tokens=(*TOKENS[:1], *known)) as api:
        await _furnish(api)
        await _grant(api)
        await api.settle()
        yield api


def _outside(user: str, namespace: str, name: str, *, is_namespace: bool) -> bool:
    """Tell whether an object is none that a user has rights to."""
    if user == "alice":
        return name != "own" if is_namespace else namespace != "own"
    return user == "bob" and name != "mine"


def _differs(backend: Any, info: RequestInfo, shown: Any) -> str | None:
    """Return in what an object is another than the one that was asked for."""
    row = backend.table.served_at(info.group, info.version, info.resource)
    if row is None:
        return "there is no such resource"
    if info.subresource in ("", "status", "finalize") and shown.get("kind") != row.kind:
        return "kind"
    meta = shown["metadata"]
    if info.name and info.verb != "create" and meta.get("name") != info.name:
        return "name"
    if row.namespaced and info.namespace and meta.get("namespace", "") != info.namespace:
        return "namespace"
    if not row.namespaced and info.namespace and meta.get("name") != info.namespace:
        return "namespace of what has none"
    return None


def _changed_else(store: Any, info: RequestInfo, row: Any, key: str) -> bool:
    """Tell whether a key is not that of what was asked for."""
    if row is None:
        return True
    namespace = info.namespace if row.namespaced else ""
    if info.verb in ("create", "deletecollection") and not info.subresource:
        return not key.startswith(store.key_of(row, namespace, "").rstrip("/") + "/")
    return bool(key != store.key_of(row, namespace, info.name))


@pytest.mark.parametrize("user", USERS)
async def test_what_is_touched_is_what_was_asked_for(
    cluster: Any, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    asked, rng = Asked(monkeypatch), random.Random(user)
    backend, served = cluster.server.backend, 0
    for _ in range(REQUESTS):
        method = rng.choice(("GET", "GET", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get"))
        raw = _path(rng)
        path, raw_path, query = http1.split_target(raw.encode())
        if rng.random() < 0.35:
            query = rng.choice(QUERIES)
        body, kind = _body(rng, method, _rows(backend, path)) if method not in ("GET", "HEAD") else (b"", "")
        what = f"{user}: {method} {raw} {query} {body!r}"
        headers = {"accept": "application/json", "content-type": kind, "authorization": f"Bearer {user}"}
        since = cluster.store.revision
        for _ in range(rng.choice((1, 1, 2))):
            asked.infos.clear()
            asked.passed.clear()
            request = Request(method, path, query, dict(headers), body, raw_path=raw_path)
            response = await cluster.server.handler(request)
            shown = await _shown(response)
            assert response.status < 500 or _is_expected(response), (what, response.body)
            info = asked.infos[0] if asked.infos else None
            if response.status < 300:
                served += 1
                for one in shown:
                    meta, is_namespace = one["metadata"], one.get("kind") == "Namespace"
                    touched = meta.get("namespace", ""), meta.get("name", "")
                    assert not _outside(user, *touched, is_namespace=is_namespace), (what, one)
                    if info is not None and info.is_resource:
                        assert _differs(backend, info, one) is None, (what, info, one)
            if asked.passed and info is not None:
                assert asked.passed == [(info.group, info.version)] or not info.is_resource, (what, info)
        await _check_changes(cluster, asked, user, since, what)
    assert served > REQUESTS // 60, "hardly any request was served: nothing was shown"


def _is_expected(response: Response) -> bool:
    """Whether there is no kubelet and no other server, or a path says how and not of what."""
    return response.status == 503 or any(text in response.body for text in _EXPECTED)


async def _check_changes(cluster: Any, asked: Asked, user: str, since: int, what: str) -> None:
    store, changes = cluster.store, []
    if store.revision != since:
        changes = [event.record for event in await store.history("", since + 1, store.revision)]
    info = asked.infos[0] if asked.infos else None
    for record in changes:
        parts = record.key.split("/")
        is_namespace = "namespaces" in parts[:3] and "example.com" not in parts
        assert not _outside(user, parts[-2], parts[-1], is_namespace=is_namespace), (what, record.key)
        if info is not None:
            row = cluster.server.backend.table.served_at(info.group, info.version, info.resource)
            assert not _changed_else(cluster.server.backend.store, info, row, record.key), (
                what,
                info,
                record.key,
            )
    if changes:
        await sweep(store, since)
        await cluster.settle()


@pytest.mark.parametrize(
    "path",
    [
        "/apis//v1/namespaces/own/configmaps/mine",
        "/apis//v1/configmaps",
        "/apis//remote.example.com/v1/namespaces/own/things/mine",
        "/apis/remote.example.com//v1/namespaces/own/things/mine",
        "/api//apps/v1/namespaces/own/deployments/mine",
    ],
)
async def test_an_empty_part_leads_to_no_other_group(
    cluster: Any, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    asked = Asked(monkeypatch)
    answer = await cluster("GET", path, user="root")
    assert (answer.status, asked.passed) == (404, [])
