"""Every request of upstream's components is answered as they need it: code, content type, decodable body."""

from __future__ import annotations

import asyncio
import base64
import gzip
import re
from collections.abc import AsyncIterator, Iterable
from typing import Any

import orjson
import pytest
import upstream_requests as upstream
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from upstream_requests import PROTOBUF, Ask

from tiphys.apis.protobuf import codec
from tiphys.apiserver.options import TokenEntry

WHO = {
    "system:kube-scheduler": (),
    "system:kube-controller-manager": (),
    "system:kube-proxy": (),
    "system:node:n1": ("system:nodes",),
    "admin": ("system:masters",),
    **{
        f"system:serviceaccount:kube-system:{name}": (
            "system:serviceaccounts", "system:serviceaccounts:kube-system"
        )
        for name in (
            "deployment-controller", "replicaset-controller", "endpointslice-controller", "node-controller",
            "ttl-controller", "service-cidrs-controller", "generic-garbage-collector",
            "namespace-controller", "horizontal-pod-autoscaler",
        )
    },
}  # fmt: skip


def _pod(name: str, node: str = "") -> dict[str, Any]:
    container = {"name": "c", "image": "img", "envFrom": [{"configMapRef": {"name": "mounted"}}]}
    volume = {"name": "v", "secret": {"secretName": "mounted"}}
    spec: dict[str, Any] = {"containers": [container], "volumes": [volume]}
    if node:
        spec["nodeName"] = node
    return {"metadata": {"name": name, "namespace": "work"}, "spec": spec}


@pytest.fixture
async def world(serving: Any) -> AsyncIterator[World]:
    """An API server with what components act on."""
    tokens = tuple(TokenEntry(name.replace(":", "-"), name, name, groups) for name, groups in WHO.items())
    async with serving(tokens=tokens, client_ca=b"") as api:
        made = World(api)
        for namespace in ("work", "leaving"):
            await made.make("/api/v1/namespaces", {"metadata": {"name": namespace}})
            await made.make(
                f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "default"}}
            )
        await made.make("/api/v1/nodes", {"metadata": {"name": "n1"}})
        await made.make(f"{upstream.WORK}/secrets", {"metadata": {"name": "mounted"}, "data": {"a": "Yg=="}})
        await made.make(f"{upstream.WORK}/configmaps", {"metadata": {"name": "mounted"}})
        await made.make("/api/v1/namespaces/leaving/configmaps", {"metadata": {"name": "left"}})
        for name, node in (
            ("waiting", ""),
            ("stuck", ""),
            ("victim", ""),
            ("running", "n1"),
            ("going", "n1"),
        ):
            await made.make(f"{upstream.WORK}/pods", _pod(name, node))
        await api("DELETE", "/api/v1/namespaces/leaving")
        await made.remember("/api/v1/namespaces/leaving")
        await api.settle()
        yield made


class World:
    """Sends requests, and fills in what is only known once objects exist."""

    def __init__(self, api: Any) -> None:
        self.api = api
        self.known: dict[str, str] = {}

    async def make(self, path: str, body: dict[str, Any]) -> None:
        found = await self.api.create(path, body)
        self.known[f"uid:{found['metadata']['name']}"] = found["metadata"]["uid"]

    async def remember(self, path: str) -> None:
        found = await self.api.get(path)
        self.known[f"rv:{found['metadata']['name']}"] = found["metadata"]["resourceVersion"]

    def _filled(self, body: Any) -> Any:
        text = re.sub(
            r"\{([a-z]+(?::[a-z0-9:]+)?)\}", lambda found: self._value(found[1]), orjson.dumps(body).decode()
        )
        return orjson.loads(text)

    def _value(self, name: str) -> str:
        return _request_for(name[4:]) if name.startswith("csr:") else self.known[name]

    async def ask(self, who: str, ask: Ask) -> str:
        """Send one; return what was wrong with the answer."""
        body = self._filled(ask.body) if ask.body is not None else None
        sent = b""
        if body is not None:
            sent = codec.encode(body) if ask.send == PROTOBUF else orjson.dumps(body)
        answer = await self.api(
            ask.method, ask.target, sent, user=(ask.user or who).replace(":", "-"),
            content_type=ask.send if sent else "", accept=ask.accept, accept_encoding="gzip",
        )  # fmt: skip
        await self.api.settle()
        fault = self._fault(ask, answer)
        return f"{ask.method} {ask.target}: {fault}" if fault else ""

    def _fault(self, ask: Ask, answer: Any) -> str:
        media = answer.headers.get("content-type", "")
        if answer.status != ask.status:
            shown = codec.decode(answer.raw) if media.startswith(PROTOBUF) else answer.raw[:300]
            return f"{answer.status} where {ask.status} was expected: {shown}"
        if ask.kind in ("text", "openapi", "json"):
            return "" if answer.raw and _plain_fits(ask.kind, media) else f"content type {media}"
        if media != _first(ask.accept):
            return f"content type {media}"
        found = codec.decode(answer.raw) if media == PROTOBUF else answer.json
        if found.get("kind") != ask.kind:
            return f"kind {found.get('kind')} where {ask.kind} was expected: {found}"
        version = (found.get("metadata") or {}).get("resourceVersion")
        if version:
            self.known["rv"] = version
        return ""

    async def follow(self, who: str, path: str, *, metadata: bool = False) -> list[str]:
        """List as a stream, in pages, and watch on from there; return what was wrong."""
        faults = []
        joint = "&" if "?" in path else "?"
        user = who.replace(":", "-")
        accept = upstream.METADATA if metadata else upstream.TYPED
        types, last = await self._streamed(f"{path}{joint}{upstream.STREAMED}", user, accept)
        annotations = (last.get("metadata") or {}).get("annotations") or {}
        if set(types) - {"ADDED", "BOOKMARK"} or annotations.get("k8s.io/initial-events-end") != "true":
            faults.append(f"{path}: a streamed list ended with {types} {last}")
        listed = upstream.METADATA_LIST if metadata else upstream.TYPED
        answer = await self.api("GET", f"{path}{joint}{upstream.PAGED}", user=user, accept=listed)
        if answer.status != 200 or answer.headers["content-type"] != PROTOBUF:
            return [*faults, f"{path}: a list was {answer.status} {answer.headers['content-type']}"]
        version = codec.decode(answer.raw)["metadata"]["resourceVersion"]
        response = await self.api.send(
            "GET", f"{path}{joint}{upstream.FOLLOWED.format(rv=version)}", user=user, accept=accept
        )
        if response.status != 200 or response.stream is None:
            faults.append(f"{path}: a watch was {response.status}")
        else:
            await response.stream.aclose()
        return faults

    async def _streamed(self, target: str, user: str, accept: str) -> tuple[list[str], dict[str, Any]]:
        response = await self.api.send("GET", target, user=user, accept=accept)
        if response.stream is None:
            return [f"status {response.status}"], {}
        media = response.headers["content-type"]
        types = [] if media == f"{PROTOBUF};stream=watch" else [media]
        obj: dict[str, Any] = {}
        data = b""
        async with asyncio.timeout(10):
            async for chunk in response.stream:
                data += chunk
                while (frame := codec.read_watch_frame(data)) is not None:
                    type_, obj, used = frame
                    types.append(type_)
                    data = data[used:]
                if types and types[-1] == "BOOKMARK":
                    break
        await response.stream.aclose()
        return types, obj


def _first(accept: str) -> str:
    """Return the content type of an answer to whom the first choice suits: only discovery names its form."""
    first = accept.partition(",")[0]
    return PROTOBUF if first.startswith(PROTOBUF) else first


def _plain_fits(kind: str, media: str) -> bool:
    expected = {"text": "text/plain", "json": "application/json", "openapi": "application/"}
    return media.startswith(expected[kind])


def _request_for(name: str) -> str:
    """Return a certificate request of a node, as the body carries it."""
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:nodes"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    made = x509.CertificateSigningRequestBuilder().subject_name(subject)
    signed = made.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return base64.b64encode(signed.public_bytes(serialization.Encoding.PEM)).decode()


@pytest.mark.parametrize(
    ("who", "asks"),
    [
        ("system:kube-scheduler", upstream.SCHEDULER),
        ("system:kube-proxy", upstream.PROXY),
        ("system:node:n1", upstream.KUBELET_ASKS),
        ("system:kube-controller-manager", upstream.CONTROLLER_MANAGER),
    ],
)
async def test_requests(world: World, who: str, asks: Iterable[Ask]) -> None:
    faults = [fault for ask in asks if (fault := await world.ask(who, ask))]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("who", "paths", "metadata"),
    [
        ("system:kube-scheduler", upstream.SCHEDULER_FOLLOWS, False),
        ("system:kube-proxy", upstream.PROXY_FOLLOWS, False),
        ("system:node:n1", upstream.KUBELET_FOLLOWS, False),
        ("system:kube-controller-manager", upstream.CONTROLLERS_FOLLOW, False),
        ("system:serviceaccount:kube-system:generic-garbage-collector", upstream.CONTROLLERS_FOLLOW, True),
    ],
)
async def test_what_is_followed(world: World, who: str, paths: Iterable[str], metadata: bool) -> None:
    faults = [fault for path in paths for fault in await world.follow(who, path, metadata=metadata)]
    assert not faults, "\n".join(faults)


async def test_custom_resources_are_followed_as_metadata(world: World) -> None:
    """Garbage collection and quota want protobuf of everything; whole custom objects come as JSON."""
    await world.make("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {
                "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}],
        },
    })  # fmt: skip
    await world.api.settle()
    things = "/apis/example.com/v1/namespaces/work/things"
    thing = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": {"x": 1}}
    await world.make(things, thing)
    collector = "system:serviceaccount:kube-system:generic-garbage-collector"
    assert await world.follow(collector, "/apis/example.com/v1/things", metadata=True) == []
    got = upstream.get(f"{things}/a", "PartialObjectMetadata", accept=upstream.METADATA)
    assert await world.ask(collector, got) == ""
    whole = await world.api("GET", f"{things}/a", accept=upstream.KUBELET)
    assert (whole.status, whole.headers["content-type"], whole.json["spec"]) == (
        200, "application/json", {"x": 1}
    )  # fmt: skip
    assert (await world.api("GET", f"{things}/a", accept=PROTOBUF)).status == 406


async def test_large_lists_are_compressed_for_those_who_ask(world: World) -> None:
    for number in range(40):
        data = {"data": {"text": "x" * 5000}, "metadata": {"name": f"large-{number}"}}
        await world.make(f"{upstream.WORK}/configmaps", data)
    target = f"{upstream.WORK}/configmaps?{upstream.PAGED}"
    for encoding, expected in (("gzip", "gzip"), ("identity", None), ("", None)):
        answer = await world.api("GET", target, accept=upstream.TYPED, accept_encoding=encoding)
        assert answer.headers.get("content-encoding") == expected
        raw = gzip.decompress(answer.raw) if expected else answer.raw
        assert len(codec.decode(raw)["items"]) == 41
