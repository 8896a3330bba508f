"""Two servers answer the same requests alike, one of which takes no shortcut: sequences made by seed.

Clients repeat themselves over one connection, and between their requests what decides about them changes.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import orjson
import pytest

from tiphys.apiserver.filters.chain import Chain
from tiphys.apiserver.shortcuts.molds import Mold
from tiphys.wire.server import serve

STEPS = 220
SEEDS = range(3)
RBAC = "/apis/rbac.authorization.k8s.io/v1"
GROUP = "rbac.authorization.k8s.io"
POLICIES = "/apis/admissionregistration.k8s.io/v1"
NAMESPACES = ("own", "other")
USERS = ("admin", "admin", "alice", "alice", "node", "nobody")
_CHANGING = re.compile(
    rb'[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|"resourceVersion":\s?"\d+"|kube-api-access-\w+'
)
_OWN = ("/registry/configmaps/kube-system/", "/registry/leases/kube-system/")
"""What a server says of itself."""
Step = tuple[str, str, Any, dict[str, str], bool]
"""Method, target, body, headers, and whether the body comes in chunks."""


def _map(rng: random.Random, name: str) -> dict[str, Any]:
    texts = {"a": str(rng.randrange(9))} | rng.choice(({}, {"b": "c"}, {"a/b": "bad"}))
    more = rng.choice(({}, {}, {}, {"unknown": 1}, {"immutable": True}, {"immutable": "no"}))
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "u", "blockOwnerDeletion": True}
    meta = rng.choice(({}, {}, {}, {"namespace": "other"}, {"ownerReferences": [owner]}))
    return {"metadata": {"name": name, **meta}, "data": texts, **more}


def _pod(rng: random.Random, name: str) -> dict[str, Any]:
    more = rng.choice(
        (
            {}, {}, {}, {"priorityClassName": "high"}, {"serviceAccountName": "worker"},
            {"hostNetwork": True}, {"runtimeClassName": "fast"}, {"nodeName": "n1"},
        )
    )  # fmt: skip
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "u", "blockOwnerDeletion": True}
    meta = rng.choice(({}, {}, {}, {"ownerReferences": [owner]}))
    return {"metadata": {"name": name, **meta}, "spec": {"containers": [{"name": "c", "image": "x"}], **more}}


def _options(rng: random.Random) -> Any:
    return rng.choice(
        (
            None, None, {}, {"dryRun": ["All"]}, {"preconditions": {"uid": "other"}},
            {"gracePeriodSeconds": 0}, {"propagationPolicy": "Orphan"}, {"propagationPolicy": "Odd"},
            {"unknown": 1},
        )
    )  # fmt: skip


def _request(rng: random.Random) -> Step:
    plural, make = rng.choice((("configmaps", _map), ("pods", _pod)))
    many = f"/api/v1/namespaces/{rng.choice(NAMESPACES)}/{plural}"
    name = f"x{rng.randrange(6)}"
    one, body = f"{many}/{name}", None
    method = rng.choice(
        ("GET", "GET", "LIST", "HEAD", "POST", "POST", "POST", "PUT", "PATCH", "DELETE", "MANY")
    )
    headers = {
        "Authorization": f"Bearer {rng.choice(USERS)}",
        "Accept": "application/json",
        "User-Agent": "test/1",
    }
    target = many if method in ("LIST", "POST", "MANY") else one
    if method in ("POST", "PUT"):
        body = make(rng, name)
    elif method == "PATCH":
        body = {"metadata": {"labels": {"a": str(rng.randrange(4))}}}
        headers["Content-Type"] = "application/merge-patch+json"
    elif method in ("DELETE", "MANY"):
        body = _options(rng)
    if body is not None:
        headers.setdefault("Content-Type", "application/json")
    if rng.random() < 0.2:
        target += "?" + rng.choice(
            (
                "dryRun=All", "fieldManager=m", "fieldValidation=Strict", "fieldValidation=Ignore",
                "pretty=true", "fieldSelector=metadata.name%3Dx1", "dryRun=Odd", "resourceVersion=0",
                "fieldManager=%01",
            )
        )  # fmt: skip
    if rng.random() < 0.1:
        place, below = target.split("/namespaces/", 1)
        place, inner = rng.choice(((place, "/"), (place, "/namespaces/own"), ("/apis//v1", "")))
        target = f"{place}{inner}/namespaces/{below}"
    if rng.random() < 0.1:
        headers |= rng.choice(
            ({"Impersonate-User": "alice"}, {"Accept": "application/yaml"}, {"Audit-ID": "mine"})
        )
    return {"LIST": "GET", "MANY": "DELETE"}.get(method, method), target, body, headers, rng.random() < 0.4


def _renamed(step: Step, name: str) -> Step:
    """Return a creation of another object of the same template."""
    method, target, body, headers, in_chunks = step
    return method, target, {**body, "metadata": {**body["metadata"], "name": name}}, headers, in_chunks


def _changes() -> list[tuple[str, Any]]:
    """Return collections with an object that decides about requests: there it is, or not, by turns."""
    ref = {"apiGroup": GROUP, "kind": "ClusterRole", "name": "maps"}
    subjects = [{"apiGroup": GROUP, "kind": "User", "name": "alice"}]
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    policy = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "object.data.a != '3'"}],
    }
    quota = {"hard": {"pods": "3", "configmaps": "4"}}
    limits = {"limits": [{"type": "Container", "default": {"cpu": "1"}}]}
    class_ = {"value": 7, "globalDefault": True}
    return [
        (f"{RBAC}/clusterrolebindings", {"metadata": {"name": "maps"}, "roleRef": ref, "subjects": subjects}),
        (
            f"{RBAC}/namespaces/own/rolebindings",
            {"metadata": {"name": "m"}, "roleRef": ref, "subjects": subjects},
        ),
        ("/api/v1/namespaces/own/resourcequotas", {"metadata": {"name": "q"}, "spec": quota}),
        ("/api/v1/namespaces/other/limitranges", {"metadata": {"name": "l"}, "spec": limits}),
        ("/apis/scheduling.k8s.io/v1/priorityclasses", {"metadata": {"name": "high"}, **class_}),
        ("/apis/node.k8s.io/v1/runtimeclasses", {"metadata": {"name": "fast"}, "handler": "fast"}),
        ("/api/v1/namespaces/own/serviceaccounts", {"metadata": {"name": "worker"}}),
        (f"{POLICIES}/validatingadmissionpolicies", {"metadata": {"name": "p"}, "spec": policy}),
        (
            f"{POLICIES}/validatingadmissionpolicybindings",
            {"metadata": {"name": "p"}, "spec": {"policyName": "p", "validationActions": ["Deny"]}},
        ),
    ]


class Client:
    """Asks everything on one connection, or each time on a new one, of which the server knows nothing."""

    def __init__(self, port: int, *, comes_again: bool) -> None:
        self._port, self._comes_again = port, comes_again
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, step: Step) -> tuple[int, dict[str, str], bytes]:
        if self._writer is None or not self._comes_again:
            self.close()
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writer.write(_sent(step))
        return await self._answer(has_body=step[0] != "HEAD")

    async def _answer(self, *, has_body: bool) -> tuple[int, dict[str, str], bytes]:
        first, *fields = (await self._reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        found = {key.lower(): text for key, _, text in (field.partition(": ") for field in fields)}
        answer = b""
        if has_body and found.get("transfer-encoding") == "chunked":
            while size := int(await self._reader.readline(), 16):
                answer += (await self._reader.readexactly(size + 2))[:-2]
            await self._reader.readline()
        elif has_body:
            answer = await self._reader.readexactly(int(found.get("content-length", "0")))
        return int(first.split()[1]), found, answer

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def _sent(step: Step) -> bytes:
    """Return a request as bytes."""
    method, target, value, headers, in_chunks = step
    body = b"" if value is None else orjson.dumps(value)
    lines = [f"{method} {target} HTTP/1.1", "Host: h", *(f"{key}: {text}" for key, text in headers.items())]
    if in_chunks and body:
        lines.append("Transfer-Encoding: chunked")
        half = len(body) // 2
        pieces = [piece for piece in (body[:half], body[half:]) if piece] + [b""]
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    elif body or method not in ("GET", "HEAD"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def _alike(answer: tuple[int, dict[str, str], bytes]) -> Any:
    status, headers, body = answer
    kept = {key: headers.get(key) for key in ("content-type", "warning", "allow", "cache-control")}
    return status, kept, _CHANGING.sub(b"...", body)


def _take_none(api: Any) -> None:
    """Let a server find out everything anew each time."""
    chain = api.server.handler
    chain.at_once = None
    chain._regulars.known = lambda _: None
    chain._regulars.passage = lambda *_: None
    api.server.backend.molds.casting = lambda *_: None


async def _furnish(api: Any) -> None:
    for name in NAMESPACES:
        await api.create("/api/v1/namespaces", {"metadata": {"name": name}})
        await api.create(f"/api/v1/namespaces/{name}/serviceaccounts", {"metadata": {"name": "default"}})
    rules = [{"apiGroups": [""], "resources": ["configmaps", "pods"], "verbs": ["*"]}]
    await api.create(f"{RBAC}/clusterroles", {"metadata": {"name": "maps"}, "rules": rules})
    await api.settle()


@asynccontextmanager
async def _both(serving: Any) -> AsyncIterator[list[tuple[Any, Client]]]:
    """Two servers with a client each; the second takes no shortcuts."""
    async with AsyncExitStack() as stack:
        made = []
        for takes in (True, False):
            api = await stack.enter_async_context(serving())
            await _furnish(api)
            if not takes:
                _take_none(api)
            server = await stack.enter_async_context(serve(api.server.handler))
            client = Client(server.port, comes_again=takes)
            stack.callback(client.close)
            made.append((api, client))
        yield made


def _counted(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[str]:
    """Return a list that grows by each use of a method."""
    used, method = list[str](), getattr(owner, name)

    def counting(*arguments: Any) -> Any:
        used.append(name)
        return method(*arguments)

    monkeypatch.setattr(owner, name, counting)
    return used


async def _stored(api: Any) -> dict[str, bytes]:
    found = await api.store.range("/registry/")
    own = [one for one in found.records if not one.key.startswith(_OWN)]
    return {one.key: _CHANGING.sub(b"...", one.value) for one in own}


@pytest.mark.parametrize("seed", SEEDS)
async def test_both_answer_alike(serving: Any, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    casts, passes = _counted(monkeypatch, Mold, "cast"), _counted(monkeypatch, Chain, "_pass")
    rng, changes = random.Random(seed), _changes()
    there: set[str] = set()
    asked: list[Step] = []
    async with asyncio.timeout(60), _both(serving) as both:
        for number in range(STEPS):
            if number == STEPS * 4 // 5:
                for api, _ in both:
                    assert (await api("DELETE", "/api/v1/namespaces/other")).status == 200
            if rng.random() < 0.12:
                many, body = rng.choice(changes)
                one = f"{many}/{body['metadata']['name']}"
                done = False
                for api, _ in both:
                    found = await (api("DELETE", one) if one in there else api("POST", many, body))
                    done = found.status in (200, 201)
                    assert done or b"is being terminated" in found.raw, found.raw
                    if done and "quotas" in one and one not in there:
                        status = {
                            "hard": body["spec"]["hard"],
                            "used": dict.fromkeys(body["spec"]["hard"], "0"),
                        }
                        await api.put(f"{one}/status", {**found.json, "status": status})
                    await api.settle()
                there ^= {one} if done else set()
            step = rng.choice(asked[-8:]) if asked and rng.random() < 0.4 else _request(rng)
            asked.append(step)
            for _ in range(rng.choice((1, 2, 3, 4))):
                if step[0] == "POST" and rng.random() < 0.7:
                    step = _renamed(step, f"x{rng.randrange(60)}")
                quick, slow = [_alike(await client.ask(step)) for _, client in both]
                assert quick == slow, (seed, step)
        first, second = [await _stored(api) for api, _ in both]
        assert first == second
    assert casts, "no mold was used"
    assert len(passes) > STEPS // 10, "hardly anything was known of earlier requests"
