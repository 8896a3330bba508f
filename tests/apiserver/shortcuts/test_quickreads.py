"""Quick answers to repeated GETs: the same as the chain's, and only while what they rest on stands."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tiphys.apimachinery.clock import FakeClock
from tiphys.apiserver.options import ApiServerOptions, TokenEntry
from tiphys.apiserver.server import ApiServer
from tiphys.apiserver.shortcuts.quickreads import QuickReads
from tiphys.storage.memory import MemoryStore
from tiphys.wire import http1, pki
from tiphys.wire.message import Request
from tiphys.wire.server import serve

MAPS = "/api/v1/namespaces/default/configmaps"
ONE = f"{MAPS}/one"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
AGAIN = 2
"""So many requests with equal headers it takes to be known."""


class Repeating:
    """A client whose header block never changes, as a connection sees it."""

    def __init__(self, api: Any, user: str = "admin", certificate: bytes | None = None, **more: str) -> None:
        self.api, self.memo, self.shown = api, {}, (certificate,) if certificate else ()  # type: ignore[var-annotated]
        self.headers = {"accept": "application/json", "user-agent": "test/1"}
        self.headers |= {key.replace("_", "-"): value for key, value in more.items()}
        if user:
            self.headers["authorization"] = f"Bearer {user}"

    async def slow(self, path: str, method: str = "GET") -> Any:
        raw, _, query = path.partition("?")
        request = Request(
            method, raw, query, self.headers, b"", "", self.shown, raw, memo=self.memo
        )  # fmt: skip
        return await self.api.server.handler(request)

    def quick(self, path: str, method: str = "GET") -> tuple[bytes, bytes] | None:
        raw, _, query = path.partition("?")
        at_once = self.api.server.handler.at_once
        found = at_once(self.memo, (method, raw, raw, query)) if at_once else None
        return found if found is None else (b"%b%b\r\n" % (found[0].http1, found[1]), found[2])

    async def known(self, path: str, method: str = "GET") -> tuple[bytes, bytes] | None:
        for _ in range(AGAIN):
            await self.slow(path, method)
        return self.quick(path, method)


def fields(head: bytes) -> dict[str, str]:
    lines = head.decode().split("\r\n")[1:]
    found = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines if line)}
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", found.pop("audit-id"))
    return found


async def make_one(api: Any) -> None:
    await api.create(MAPS, {"metadata": {"name": "one"}, "data": {"a": "1"}})


async def may_read(api: Any, user: str = "alice") -> None:
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]
    await api.create(f"{RBAC}/clusterroles", {"metadata": {"name": "reads"}, "rules": rules})
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reads"}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}
    body = {"metadata": {"name": "reads"}, "roleRef": ref, "subjects": [subject]}
    await api.create(f"{RBAC}/clusterrolebindings", body)
    await api.settle()


@pytest.mark.parametrize("user", ["admin", "alice"])
@pytest.mark.parametrize(
    "path",
    [
        ONE,
        "/api/v1/namespaces/default",
        "/apis/apps/v1/namespaces/default/deployments/d",
        f"{RBAC}/clusterroles/cluster-admin",
        "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/exempt",
    ],
)
async def test_both_ways_answer_alike(api: Any, path: str, user: str) -> None:
    await make_one(api)
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    await api.create(
        "/apis/apps/v1/namespaces/default/deployments", {"metadata": {"name": "d"}, "spec": spec}
    )
    await may_read(api)
    client = Repeating(api, user)
    quick, slow = await client.known(path), await client.slow(path)
    if slow.status != 200:
        assert (quick, slow.status) == (None, 403)
        return
    assert quick is not None
    head, body = quick
    assert body == slow.body
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert head.endswith(b"\r\n")
    assert fields(head) == fields(http1.encode_lines(200, slow.headers))


async def test_every_answer_warns_of_deprecated_kinds(api: Any) -> None:
    path = "/api/v1/namespaces/default/endpoints"
    await api.create(path, {"metadata": {"name": "e"}})
    text = '299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"'
    client = Repeating(api)
    assert await client.known(f"{path}/e") is None
    for asked in (f"{path}/e", path, f"{path}/none"):
        assert (await client.slow(asked)).headers["warning"] == text
    assert "warning" not in (await client.slow("/api/v1/namespaces/default")).headers


async def test_answers_are_of_this_moment(api: Any) -> None:
    await make_one(api)
    client = Repeating(api)
    assert await client.known(ONE)
    changed = await api.put(ONE, {"metadata": {"name": "one"}, "data": {"a": "2"}})
    found = client.quick(ONE)
    assert found is not None
    assert f'"resourceVersion":"{changed["metadata"]["resourceVersion"]}"'.encode() in found[1]
    assert b'"a":"2"' in found[1]
    await api("DELETE", ONE)
    assert client.quick(ONE) is None
    assert (await client.slow(ONE)).status == 404
    await make_one(api)
    assert client.quick(ONE) is not None


REMOTE = {
    "group": "apps", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1,
    "insecureSkipTLSVerify": True, "service": {"namespace": "default", "name": "x", "port": 443},
}  # fmt: skip


async def unbind(api: Any) -> None:
    await api("DELETE", f"{RBAC}/clusterrolebindings/reads")


async def narrow(api: Any) -> None:
    await api.put(f"{RBAC}/clusterroles/reads", {"metadata": {"name": "reads"}, "rules": []})


async def reschema(api: Any) -> None:
    path = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/global-default"
    found = await api.get(path)
    found["spec"]["matchingPrecedence"] = 9000
    await api.put(path, found)


async def new_modes(api: Any) -> None:
    api.server.backend.authorizer.replace(("AlwaysDeny",))


async def new_rows(api: Any) -> None:
    table = api.server.table
    row = table.by_path("", "v1", "configmaps")
    table.remove(row.gvr)
    table.add(row)


async def aggregate(api: Any) -> None:
    path = "/apis/apiregistration.k8s.io/v1/apiservices/v1.apps"
    await api.put(path, {**await api.get(path), "spec": REMOTE})


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (unbind, 403),
        (narrow, 403),
        (new_modes, 403),
        (reschema, 200),
        (new_rows, 200),
        (aggregate, 200),
    ],
)
async def test_what_decides_is_looked_at_anew(
    api: Any, change: Callable[[Any], Awaitable[None]], status: int
) -> None:
    await make_one(api)
    await may_read(api)
    client = Repeating(api, "alice")
    assert await client.known(ONE)
    await change(api)
    await api.settle()
    assert client.quick(ONE) is None
    assert (await client.slow(ONE)).status == status
    assert (client.quick(ONE) is not None) == (status == 200)


async def test_remote_group_versions_are_the_aggregators(api: Any) -> None:
    path = "/apis/apps/v1/namespaces/default/controllerrevisions/one"
    revision = {"metadata": {"name": "one"}, "revision": 1, "data": {}}
    await api.create(path.removesuffix("/one"), revision)
    client = Repeating(api)
    assert await client.known(path)
    await aggregate(api)
    await api.settle()
    assert client.quick(path) is None
    assert (await client.slow(path)).status == 503
    assert client.quick(path) is None


@pytest.mark.parametrize(
    ("client", "path", "method"),
    [
        pytest.param({}, MAPS, "GET", id="a list"),
        pytest.param({}, f"{ONE}?resourceVersion=0", "GET", id="a query"),
        pytest.param({}, f"{ONE}?pretty=true", "GET", id="a query for a form"),
        pytest.param({}, ONE, "HEAD", id="another method"),
        pytest.param({}, ONE, "DELETE", id="a write"),
        pytest.param({}, f"{MAPS}/none", "GET", id="what is not there"),
        pytest.param({}, "/version", "GET", id="no resource"),
        pytest.param({}, "/api/v1/namespaces/default/status", "GET", id="a subresource"),
        pytest.param({}, "/api/v1/componentstatuses/etcd-0", "GET", id="what is no object"),
        pytest.param({"accept": "application/yaml"}, ONE, "GET", id="another form"),
        pytest.param({"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}, ONE, "GET", id="a table"),
        pytest.param({"user_agent": "curl/8"}, ONE, "GET", id="people"),
        pytest.param({"audit_id": "mine"}, ONE, "GET", id="an id of the client's"),
        pytest.param({"impersonate_user": "alice"}, "/api/v1/namespaces/default", "GET", id="impersonation"),
        pytest.param({"user": ""}, ONE, "GET", id="nobody"),
        pytest.param({"user": "wrong"}, ONE, "GET", id="a wrong token"),
        pytest.param({"user": "alice"}, ONE, "GET", id="who may not"),
        pytest.param({"user": "node"}, "/api/v1/nodes/n1", "GET", id="a kubelet"),
    ],
)
async def test_the_rest_goes_through_the_chain(
    api: Any, client: dict[str, Any], path: str, method: str
) -> None:
    await make_one(api)
    await api.create("/api/v1/nodes", {"metadata": {"name": "n1"}})
    assert await Repeating(api, **client).known(path, method) is None


async def test_tokens_of_service_accounts_are_checked_each_time(api: Any) -> None:
    made = await api.create("/api/v1/namespaces/default/serviceaccounts/default/token", {"spec": {}})
    await may_read(api, "system:serviceaccount:default:default")
    await make_one(api)
    client = Repeating(api, made["status"]["token"])
    await client.known(ONE)
    assert client.memo[QuickReads] is None


async def test_a_certificate_is_remembered_until_it_ends(serving: Any) -> None:
    now = FakeClock().now()
    users = pki.make_ca("ca", now)
    pair = pki.issue_client(users, "root", ["system:masters"], now, days=1)
    der = x509.load_pem_x509_certificate(pair.certificate).public_bytes(Encoding.DER)
    async with serving(client_ca=users.certificate) as api:
        client = Repeating(api, "", der)
        assert await client.known("/api/v1/namespaces/default")
        api.clock.advance(24 * 3600 + 1)
        api.server.backend.authenticator._expiry._look()
        assert client.quick("/api/v1/namespaces/default") is None
        assert (await client.slow("/api/v1/namespaces/default")).status == 401


async def test_nobody_is_quick_where_requests_wait_or_the_level_is_full(api: Any) -> None:
    await make_one(api)
    await may_read(api)
    client = Repeating(api, "alice")
    assert await client.known(ONE)
    flow = api.server.traffic.flow
    queues = flow.levels["global-default"].queues
    taken, queues.in_use = queues.in_use, queues.limit
    assert client.quick(ONE) is None
    queues.in_use, queues.waiting = taken, 1
    assert client.quick(ONE) is None
    queues.waiting = 0
    before = flow.counts["global-default", "global-default"].passed
    assert client.quick(ONE) is not None
    assert flow.counts["global-default", "global-default"].passed == before + 1
    assert queues.in_use == taken


def decisions(api: Any) -> float:
    found = re.search(
        r'apiserver_authorization_decisions_total\{decision="allowed",name="rbac",type="RBAC"\} (\S+)',
        api.server.backend.metrics.render().decode(),
    )
    return float(found[1]) if found else 0.0


async def test_each_request_is_a_decision_of_its_authorizer(api: Any) -> None:
    """Also of one that was remembered; what is looked at to remember it is none."""
    await make_one(api)
    await may_read(api)
    client = Repeating(api, "alice")
    before = decisions(api)
    for _ in range(4):
        await client.slow(ONE)
    assert decisions(api) == before + 4
    for _ in range(3):
        assert client.quick(ONE) is not None
    assert decisions(api) == before + 7


async def test_who_passes_unasked_is_no_decision(api: Any) -> None:
    await make_one(api)
    before = decisions(api)
    assert await Repeating(api).known(ONE)
    assert decisions(api) == before


async def test_quick_answers_are_counted(api: Any) -> None:
    await make_one(api)
    client = Repeating(api)
    await client.known(ONE)

    def count() -> int:
        text = api.server.backend.metrics.render().decode()
        found = re.search(
            r'apiserver_request_total\{code="200",[^}]*resource="configmaps",[^}]*verb="GET"[^}]*\} (\d+)',
            text,
        )
        assert found, text
        return int(found[1])

    before = count()
    for _ in range(3):
        assert client.quick(ONE)
    assert count() == before + 3


async def test_large_objects_may_want_to_be_compressed(api: Any) -> None:
    await api.create(MAPS, {"metadata": {"name": "one"}, "data": {"a": "x" * 200_000}})
    assert await Repeating(api).known(ONE) is None


@pytest.mark.parametrize("fairness", [True, False])
async def test_without_fair_queues_nothing_is_quick(fairness: bool) -> None:
    options = ApiServerOptions(
        tokens=(TokenEntry("admin", "admin", "1", ("system:masters",)),), priority_and_fairness=fairness
    )
    server = ApiServer(MemoryStore(), options, FakeClock())
    assert (server.handler.at_once is not None) == fairness  # type: ignore[attr-defined]


async def test_over_a_connection(api: Any) -> None:
    await make_one(api)
    block = "\r\nhost: x\r\nauthorization: Bearer admin\r\naccept: application/json\r\n\r\n"
    handler = api.server.handler
    answered = []

    class Watched:
        """The server's handler, with what it answers at once noted."""

        def at_once(self, memo: dict[Any, Any], line: Any) -> Any:
            found = handler.at_once(memo, line)
            answered.append(found is not None)
            return found

        async def __call__(self, request: Request) -> Any:
            return await handler(request)

    async with serve(Watched()) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        seen = []
        for _ in range(6):
            writer.write(f"GET {ONE} HTTP/1.1{block}".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            found = dict(line.split(": ", 1) for line in head.decode().lower().split("\r\n")[1:] if line)
            body = await reader.readexactly(int(found["content-length"]))
            assert found.pop("date")
            seen.append((head.split(b"\r\n")[0], sorted(found.keys()), body))
            ids = found["audit-id"]
        writer.close()
    assert answered[-1]
    assert ids
    assert all(one == seen[0] for one in seen)


async def test_a_certificate_that_is_believed_no_more(serving: Any) -> None:
    now = FakeClock().now()
    users, others = pki.make_ca("users", now), pki.make_ca("others", now)
    pair = pki.issue_client(users, "carol", ["system:masters"], now)
    certificate = x509.load_pem_x509_certificate(pair.certificate).public_bytes(Encoding.DER)
    async with serving(client_ca=users.certificate) as api:
        await api.create(MAPS, {"metadata": {"name": "one"}})
        client = Repeating(api, "", certificate)
        assert await client.known(ONE)
        await api.server.trust(others.certificate, b"")
        assert client.quick(ONE) is None
        assert (await client.slow(ONE)).status == 401
        assert await client.known(ONE) is None
        await api.server.trust(users.certificate, b"")
        assert await client.known(ONE)
