"""Paths, verbs and errors of the client, against the fake API in process."""

import asyncio

import orjson
import pytest

from tiphys.apimachinery.errors import AlreadyExists, Conflict, NotFound, TooManyRequests
from tiphys.client import rest
from tiphys.client.fake_api import FakeApi
from tiphys.client.inprocess import InProcessTransport
from tiphys.client.kinds import DEPLOYMENTS, NAMESPACES, NODES, PODS
from tiphys.client.rest import Client, resource_path
from tiphys.client.transport import HttpTransport, TransportError
from tiphys.wire.message import Response


def pod(name="web", **metadata):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", **metadata},
        "spec": {},
    }


@pytest.fixture
def api():
    return FakeApi()


@pytest.fixture
def client(api):
    return Client(InProcessTransport(api.handler))


@pytest.mark.parametrize(
    ("args", "path"),
    [
        ((PODS, "default", "web"), "/api/v1/namespaces/default/pods/web"),
        ((PODS, "default", "web", "log"), "/api/v1/namespaces/default/pods/web/log"),
        ((PODS,), "/api/v1/pods"),
        ((NODES, "", "n1"), "/api/v1/nodes/n1"),
        ((NAMESPACES, "", "x", "finalize"), "/api/v1/namespaces/x/finalize"),
        ((DEPLOYMENTS, "a"), "/apis/apps/v1/namespaces/a/deployments"),
        ((PODS, "default", "a/b:c"), "/api/v1/namespaces/default/pods/a%2Fb%3Ac"),
    ],
)
def test_resource_path(args, path):
    assert resource_path(*args) == path


async def test_create_get_update_delete(client, api):
    stored = await client.create(PODS, pod())
    assert stored["metadata"]["uid"]
    assert (await client.get(PODS, "web", "default"))["metadata"] == stored["metadata"]
    with pytest.raises(AlreadyExists):
        await client.create(PODS, pod())
    changed = await client.update(PODS, {**stored, "spec": {"nodeName": "n1"}})
    assert changed["spec"] == {"nodeName": "n1"}
    with pytest.raises(Conflict):
        await client.update(PODS, {**stored, "spec": {}})
    await client.delete(PODS, "web", "default", uid=stored["metadata"]["uid"])
    with pytest.raises(NotFound):
        await client.get(PODS, "web", "default")


async def test_lists_select_by_label(client, api):
    api.put(PODS, pod("a", labels={"app": "x"}))
    api.put(PODS, pod("b"))
    found = await client.list(PODS, "default", label_selector="app=x")
    assert [item["metadata"]["name"] for item in found["items"]] == ["a"]


async def test_status_is_patched_alone(client, api):
    api.put(PODS, pod())
    await client.patch(PODS, "web", "default", {"status": {"phase": "Running"}}, subresource="status")
    assert api.get(PODS, "web", "default")["status"] == {"phase": "Running"}


@pytest.mark.parametrize(("bookmarks", "silence_s"), [(True, 90), (False, 400)])
async def test_a_watch_waits_for_bookmarks_not_for_its_end(api, bookmarks, silence_s):
    """A server that is stopped keeps its connections: nobody ends the watch, and nothing comes."""
    calls = []

    class Noting(InProcessTransport):
        def stream(self, call):
            calls.append(call)
            return super().stream(call)

    client = Client(Noting(api.handler))
    async with client.watch(PODS, bookmarks=bookmarks, timeout_s=340):
        pass
    assert [call.timeout_s for call in calls] == [silence_s]


async def test_a_watch_tells_what_happens_after_a_revision(client, api):
    api.put(PODS, pod("a"))
    revision = str(api.revision)
    api.put(PODS, pod("b"))
    async with client.watch(PODS, resource_version=revision) as events:
        async for event in events:
            assert (event.type, event.object["metadata"]["name"]) == ("ADDED", "b")
            break


@pytest.mark.parametrize(("body", "message"), [(b"gone fishing", "gone fishing"), (b"[]", "404")])
async def test_answers_that_are_no_status_still_become_errors(body, message):
    async def broken(request):
        return Response(404, {}, body)

    with pytest.raises(NotFound, match=message):
        await Client(InProcessTransport(broken)).get(PODS, "web", "default")


async def test_retry_after_is_waited_out_but_not_for_evictions():
    answers = [Response(429, {"Retry-After": "0"}, b"{}"), Response(200, {}, b'{"kind":"Pod"}')]

    async def busy(request):
        return answers.pop(0)

    client = Client(InProcessTransport(busy))
    assert (await client.get(PODS, "web", "default"))["kind"] == "Pod"
    answers.append(Response(429, {"Retry-After": "10"}, orjson.dumps({"code": 429, "message": "budget"})))
    with pytest.raises(TooManyRequests) as caught:
        await client.post(PODS, "web", "default", "eviction", {})
    assert caught.value.retry_after_s == 10


async def test_a_watch_is_left_where_bookmarks_stay_away(monkeypatch):
    """Of a server that has stopped right behind the head of its answer, while its machine goes on."""
    monkeypatch.setattr(rest, "_BOOKMARK_SILENCE_S", 0.05)
    left = asyncio.Event()

    async def stopped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await reader.read()
        writer.close()
        left.set()

    async with asyncio.timeout(30), await asyncio.start_server(stopped, "127.0.0.1", 0) as server:
        client = Client(HttpTransport(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
        async with client.watch(PODS) as events:
            with pytest.raises(TransportError):
                await anext(events)
        await left.wait()
        await client.transport.close()
