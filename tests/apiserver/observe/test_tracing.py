"""A server that traces: which spans there are of a request, and whose trace it goes on with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from tests.wire.collector import Collector, attributes, collecting

from tiphys.apimachinery.tracing import MILLION, current
from tiphys.apimachinery.tracing_config import TracingOptions
from tiphys.apiserver.filters.requestinfo import parse
from tiphys.apiserver.observe.request_span import name_of
from tiphys.apiserver.options import TokenEntry
from tiphys.storage.base import StoreUnavailable

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
FROM = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "a=b"}
MAPS = "/api/v1/namespaces/default/configmaps"
TOKENS = (
    TokenEntry("admin", "admin", "1", ("system:masters",)),
    TokenEntry("watcher", "watcher", "2", ("system:monitoring",)),
    TokenEntry("alice", "alice", "3", ("dev",)),
)

ELSEWHERE = {
    "metadata": {"name": "v1.there.example.com"},
    "spec": {
        "group": "there.example.com", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 10,
        "insecureSkipTLSVerify": True, "service": {"namespace": "default", "name": "none"},
    },
}  # fmt: skip

NAMES = {
    ("GET", "/api/v1/namespaces/n/pods/p"): "GET /api/v1/namespaces/{:namespace}/pods/{:name}",
    ("GET", "/api/v1/pods"): "GET /api/v1/pods",
    ("PUT", "/apis/apps/v1/namespaces/n/deployments/d/status"): (
        "PUT /apis/apps/v1/namespaces/{:namespace}/deployments/{:name}/status"
    ),
    ("POST", "/api/v1/namespaces"): "POST /api/v1/namespaces",
    ("GET", "/healthz"): "GET",
    ("GET", "/apis"): "GET",
}


@pytest.mark.parametrize(("method", "path"), NAMES)
def test_a_span_is_called_by_its_route(method: str, path: str) -> None:
    assert name_of(method, parse(method, path)) == NAMES[method, path]


@asynccontextmanager
async def traced(serving: Any, per_million: int = MILLION) -> AsyncIterator[tuple[Any, Collector]]:
    async with collecting() as collector:
        options = TracingOptions(f"127.0.0.1:{collector.port}", per_million)
        async with serving(tracing=options, tokens=TOKENS) as api:
            yield api, collector


async def test_what_there_is_of_a_request(serving: Any) -> None:
    async with traced(serving) as (api, collector):
        made = await api("POST", f"{MAPS}?pretty=0", {"metadata": {"name": "m"}})
        assert made.status == 201
        await api.server.stop()
        name = "POST /api/v1/namespaces/{:namespace}/configmaps"
        whole, known = collector.named(name), collector.named("authentication")
        assert (whole.kind, whole.parent_span_id, known.parent_span_id) == (2, known.span_id, b"")
        assert whole.trace_id == known.trace_id
        said = attributes(whole.attributes)
        assert said["http.target"] == f"{MAPS}?pretty=0"
        assert said["http.response.status_code"] == 201
        assert said["http.request.method"] == "POST"
        assert said["user_agent.original"] == "test/1"
        assert said["audit-id"] == made.headers["audit-id"]
        children = {span.name for span in collector.spans if span.parent_span_id == whole.span_id}
        assert children == {"impersonation", "priorityandfairness", "authorization", "Create"}
        stored = collector.named("Create etcd3")
        assert stored.parent_span_id == collector.named("Create").span_id
        assert attributes(stored.attributes) == {
            "audit-id": made.headers["audit-id"], "key": "/configmaps/default/m",
            "type": "*core.ConfigMap", "resource": "configmaps",
        }  # fmt: skip
        assert attributes(collector.named("Create").attributes) == {
            "accept": "application/json", "api-group": None, "api-version": "v1",
            "audit-id": made.headers["audit-id"], "client": None, "name": None, "namespace": "default",
            "protocol": "HTTP/1.1", "resource": "configmaps", "scope": "namespace", "subresource": None,
            "url": MAPS, "user-agent": "test/1", "verb": "POST",
        }  # fmt: skip
        assert collector.resource["service.name"] == "apiserver"
        assert collector.resource["service.instance.id"].startswith("apiserver-")
    assert current() is None


async def test_every_request_has_its_own_trace_and_steps(serving: Any) -> None:
    async with traced(serving) as (api, collector):
        await api.create(MAPS, {"metadata": {"name": "m"}})
        for _ in range(3):
            await api.get(f"{MAPS}/m")
        await api.get(MAPS)
        await api.patch(f"{MAPS}/m", {"data": {"a": "b"}})
        await api("DELETE", f"{MAPS}/m")
        await api.server.stop()
        gets = [span for span in collector.spans if span.name.startswith("GET /api/v1")]
        assert len({span.trace_id for span in gets}) == len(gets) == 4
        names = [span.name for span in collector.spans]
        counts = {name: names.count(name) for name in ("Get", "List", "cacher.GetList", "Patch", "Delete")}
        assert counts == {"Get": 3, "List": 1, "cacher.GetList": 1, "Patch": 1, "Delete": 1}
        assert names.count("GuaranteedUpdate etcd3") == 1


ENCODED = ["Encode succeeded", "TransformToStorage succeeded"]
BODY = "limitedReadBody succeeded"
ANSWER = ["About to write a response", "Writing http response done"]
CONVERTED = ["About to convert to expected version", "Conversion done"]
STORES = ["About to store object in database", "Write to database call succeeded"]
EVENTS: dict[str, tuple[str, str, Any, list[str]]] = {
    # span -> method, what is asked of a map, body, events
    "Create": ("POST", "", {"metadata": {"name": "n"}}, [BODY, *CONVERTED, *STORES, *ANSWER]),
    "Get": ("GET", "/m", None, ["About to Get from storage", *ANSWER]),
    "List": ("GET", "", None, ["About to List from storage", "Listing from storage done", ANSWER[1]]),
    "Update": ("PUT", "/m", {"metadata": {"name": "m"}}, [BODY, *CONVERTED, *STORES, *ANSWER]),
    "Patch": (
        "PATCH", "/m", {"data": {"a": "b"}},
        [BODY, "Recorded the audit event", "About to apply patch", "About to check admission control",
         "Object stored in database", *ANSWER],
    ),
    "Delete": (
        "DELETE", "/m", {"kind": "DeleteOptions", "apiVersion": "v1"},
        [BODY, "Decoded delete options", "Recorded the audit event", "About to delete object from database",
         "Object deleted from database", *ANSWER],
    ),
}  # fmt: skip


async def test_how_far_each_request_has_come(serving: Any) -> None:
    async with traced(serving) as (api, collector):
        await api.create(MAPS, {"metadata": {"name": "m"}})
        for method, where, body, _ in EVENTS.values():
            if method == "PATCH":
                await api.patch(f"{MAPS}{where}", body)
            else:
                assert (await api(method, f"{MAPS}{where}", body)).status in (200, 201)
        await api.server.stop()
    for name, (_, _, body, events) in EVENTS.items():
        span = [one for one in collector.spans if one.name == name][-1]
        assert [event.name for event in span.events] == events, name
        times = [event.time_unix_nano for event in span.events]
        assert times == sorted(times)
        assert span.start_time_unix_nano <= times[0]
        assert times[-1] <= span.end_time_unix_nano
        if body is not None:
            assert attributes(span.events[0].attributes) == {"len": len(orjson.dumps(body))}
    stored = [one for one in collector.spans if one.name == "Create etcd3"][-1]
    assert [event.name for event in stored.events] == [
        "About to Encode", *ENCODED, "Txn call succeeded", "decode succeeded",
    ]  # fmt: skip
    lengths = [attributes(event.attributes) for event in stored.events if event.attributes]
    assert [list(one) for one in lengths] == [["len"], ["len"]]
    written = [one for one in collector.spans if one.name == "GuaranteedUpdate etcd3"][-1]
    assert [event.name for event in written.events] == [
        "initial value restored", "About to Encode", *ENCODED, "Transaction prepared", "Txn call completed",
        "Transaction committed", "decode succeeded",
    ]  # fmt: skip
    listed = collector.named("cacher.GetList")
    assert [event.name for event in listed.events] == ["Ready", "Listed items from cache", "Filtered items"]
    assert attributes(listed.attributes)["type"] == "configmaps"
    count = attributes(listed.events[2].attributes)["count"]
    assert count >= 1
    assert attributes(collector.named("List").events[-1].attributes) == {"count": count}


async def test_answers_being_written(serving: Any) -> None:
    protobuf = "application/vnd.kubernetes.protobuf"
    async with traced(serving) as (api, collector):
        made = await api("POST", MAPS, {"metadata": {"name": "m"}})
        read = await api("GET", f"{MAPS}/m", accept=protobuf)
        await api("GET", f"{MAPS}/m", accept="application/yaml")
        await api("GET", MAPS)
        await api("DELETE", f"{MAPS}/m")
        assert (await api("GET", f"{MAPS}/m")).status == 404
        await api.server.stop()
    told = [one for one in collector.spans if one.name == "SerializeObject"]
    spans = {one.span_id: one.name for one in collector.spans}
    assert [spans[one.parent_span_id] for one in told] == ["Create", "Get", "Get", "List", "Delete", "Get"]
    json = (
        '{"encodeGV":"v1","encoder":"{\\"name\\":\\"json\\",\\"pretty\\":\\"false\\",\\"strict\\":'
        '\\"false\\",\\"yaml\\":\\"%s\\"}","name":"versioning"}'
    )
    assert attributes(told[0].attributes) == {
        "audit-id": made.headers["audit-id"], "method": "POST", "url": MAPS, "protocol": "HTTP/1.1",
        "mediaType": "application/json", "encoder": json % "false",
    }  # fmt: skip
    assert attributes(told[1].attributes)["mediaType"] == protobuf
    encoder = '{"encodeGV":"v1","encoder":"protobuf","name":"versioning"}'
    assert attributes(told[1].attributes)["encoder"] == encoder
    assert attributes(told[2].attributes)["encoder"] == json % "true"
    for span in told:
        assert [event.name for event in span.events] == [
            "About to start writing response", "Write call succeeded",
        ]  # fmt: skip
        assert span.start_time_unix_nano <= span.events[0].time_unix_nano <= span.end_time_unix_nano
    assert attributes(told[1].events[1].attributes) == {"size": len(read.raw)}


TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"
PARTIAL = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
GROUPS = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
ENCODERS: dict[str, tuple[str, str, str, str, bool]] = {
    # case -> path, accept, media type, version, whether it is laid out for people
    "pretty": (f"{MAPS}?pretty=1", "application/json", "application/json", "v1", True),
    "pretty list": (
        "/apis/apps/v1/deployments?pretty=1",
        "application/json",
        "application/json",
        "apps/v1",
        True,
    ),
    "table": (MAPS, TABLE, "application/json", "meta.k8s.io/v1", False),
    "metadata": (MAPS, PARTIAL, "application/vnd.kubernetes.protobuf", "meta.k8s.io/v1", False),
    "groups": ("/apis", GROUPS, GROUPS, "apidiscovery.k8s.io/v2", False),
    "old groups": ("/apis", "application/json", "application/json", "", False),
    "resources": ("/apis/apps/v1", "application/json", "application/json", "", False),
}


@pytest.mark.parametrize("case", ENCODERS)
async def test_encoders(serving: Any, case: str) -> None:
    path, accept, media_type, version, pretty = ENCODERS[case]
    async with traced(serving) as (api, collector):
        assert (await api("GET", path, accept=accept)).status == 200
        await api.server.stop()
    told = attributes(collector.named("SerializeObject").attributes)
    encoder = orjson.loads(told["encoder"])
    assert (told["mediaType"], encoder["encodeGV"]) == (media_type, version)
    if "json" in media_type:
        assert orjson.loads(encoder["encoder"])["pretty"] == str(pretty).lower()


async def test_writes_that_fail_say_where(serving: Any) -> None:
    async with traced(serving) as (api, collector):
        await api("POST", MAPS, {"metadata": {"name": "m"}})
        assert (await api("POST", MAPS, {"metadata": {"name": "m"}})).status == 409
        await api.server.stop()
    failed = [one for one in collector.spans if one.name == "Create etcd3"][-1]
    assert [event.name for event in failed.events] == ["About to Encode", *ENCODED, "Txn call succeeded"]
    asked = [one for one in collector.spans if one.name == "Create"][-1]
    assert [event.name for event in asked.events] == [
        BODY, *CONVERTED, STORES[0], "Write to database call failed",
    ]  # fmt: skip
    body = len(orjson.dumps({"metadata": {"name": "m"}}))
    text = 'configmaps "m" already exists'
    assert attributes(asked.events[-1].attributes) == {"len": body, "err": text}
    assert not [one.name for one in (failed, asked) if one.HasField("status")]


async def test_a_store_that_does_not_answer(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with traced(serving) as (api, collector):
        monkeypatch.setattr(api.store, "commit", _unavailable)
        assert (await api("POST", MAPS, {"metadata": {"name": "m"}})).status == 503
        await api.server.stop()
    failed = collector.named("Create etcd3")
    assert [event.name for event in failed.events] == ["About to Encode", *ENCODED, "Txn call failed"]
    assert attributes(failed.events[-1].attributes) == {"err": "gone"}
    whole = collector.named("POST /api/v1/namespaces/{:namespace}/configmaps")
    assert (attributes(whole.attributes)["http.response.status_code"], whole.status.code) == (503, 2)


async def _unavailable(*_args: Any) -> int:
    raise StoreUnavailable("gone")


UNTOUCHED: dict[str, tuple[str, str, Any, int, list[list[str]]]] = {
    # case -> method, what is asked of a map, body, status, events of each span of its write
    "the same": ("PUT", "/m", {"metadata": {"name": "m"}, "data": {"a": "b"}}, 200, [
        ["initial value restored", "About to Encode", "Encode succeeded"],
    ]),
    "another version": ("PUT", "/m", {"metadata": {"name": "m", "resourceVersion": "1"}}, 409, [
        ["initial value restored"],
    ]),
    "what may not be": ("PUT", "/m", {"metadata": {"name": "m"}, "data": {"a b": "c"}}, 422, [
        ["initial value restored"],
    ]),
    "only tried": ("PUT", "/m?dryRun=All", {"metadata": {"name": "m"}}, 200, []),
    "none": ("PUT", "/none", {"metadata": {"name": "none", "resourceVersion": "1"}}, 404, []),
    "written": ("PUT", "/m", {"metadata": {"name": "m"}}, 200, [[
        "initial value restored", "About to Encode", *ENCODED, "Transaction prepared", "Txn call completed",
        "Transaction committed", "decode succeeded",
    ]]),
}  # fmt: skip


@pytest.mark.parametrize("case", UNTOUCHED)
async def test_updates_that_write_nothing(serving: Any, case: str) -> None:
    method, where, body, status, events = UNTOUCHED[case]
    async with traced(serving) as (api, collector):
        await api.create(MAPS, {"metadata": {"name": "m"}, "data": {"a": "b"}})
        assert (await api(method, f"{MAPS}{where}", body)).status == status
        await api.server.stop()
    whole = collector.named("Update")
    told = [one for one in collector.spans if one.name == "GuaranteedUpdate etcd3"]
    assert [[event.name for event in one.events] for one in told] == events
    for one in told:
        assert one.parent_span_id == whole.span_id
        assert whole.start_time_unix_nano <= one.start_time_unix_nano <= one.end_time_unix_nano
        assert attributes(one.attributes)["key"] == "/configmaps/default/m"


STORED = {
    "/api/v1/nodes": ("Node", "/minions/o", "*core.Node", "nodes"),
    "/apis/rbac.authorization.k8s.io/v1/clusterroles": (
        "ClusterRole", "/clusterroles/o", "*rbac.ClusterRole", "clusterroles.rbac.authorization.k8s.io"
    ),
    "/apis/coordination.k8s.io/v1/namespaces/default/leases": (
        "Lease", "/leases/default/o", "*coordination.Lease", "leases.coordination.k8s.io"
    ),
}  # fmt: skip


async def test_writes_tell_what_they_write(serving: Any) -> None:
    async with traced(serving) as (api, collector):
        for path in STORED:
            await api.create(path, {"metadata": {"name": "o"}})
            assert (await api.patch(f"{path}/o", {"metadata": {"labels": {"a": "b"}}})).status == 200
        await api.server.stop()
    for name in ("Create etcd3", "GuaranteedUpdate etcd3"):
        told = [attributes(span.attributes) for span in collector.spans if span.name == name]
        asked = [(one["key"], one["type"], one["resource"]) for one in told]
        assert asked == [stored[1:] for stored in STORED.values()]
    named = [one for one in collector.spans if one.name == "Patch"]
    assert {attributes(one.attributes)["scope"] for one in named} == {"resource"}


@pytest.mark.parametrize("user", ["admin", "watcher", "alice", ""])
async def test_whose_trace_is_gone_on_with(serving: Any, user: str) -> None:
    privileged = user in ("admin", "watcher")
    async with traced(serving, per_million=0 if privileged else MILLION) as (api, collector):
        await api("GET", "/version", user=user, **FROM)
        await api.server.stop()
        span = collector.named("GET")
        if privileged:
            assert (span.trace_id.hex(), span.parent_span_id.hex(), span.trace_state) == (TRACE, SPAN, "a=b")
            assert not span.links
            return
        assert span.trace_id.hex() != TRACE
        assert span.parent_span_id == b""
        (link,) = span.links
        assert (link.trace_id.hex(), link.span_id.hex()) == (TRACE, SPAN)


async def test_who_is_told_no_has_a_span_too(serving: Any) -> None:
    async with traced(serving) as (api, collector):
        assert (await api("GET", f"{MAPS}/m", user="alice")).status == 403
        assert (await api("GET", f"{MAPS}/none")).status == 404
        assert (await api("GET", f"{MAPS}/m", user="nobody")).status == 401
        await api.server.stop()
        spans = [span for span in collector.spans if span.name.startswith("GET ")]
        codes = [attributes(span.attributes)["http.response.status_code"] for span in spans]
        assert codes == [403, 404]
        assert not [span for span in spans if span.HasField("status")]
        assert not [span for span in collector.spans if span.HasField("status")]
        names = {span.span_id: span.name for span in collector.spans}
        told = [span for span in collector.spans if span.name == "SerializeObject"]
        route = "GET /api/v1/namespaces/{:namespace}/configmaps/{:name}"
        assert [names[span.parent_span_id] for span in told] == [route, "Get", "authentication"]
        for span in told:
            assert [event.name for event in span.events] == [
                "About to start writing response", "Write call succeeded",
            ]  # fmt: skip
        (read,) = [span for span in collector.spans if span.name == "Get"]
        assert [event.name for event in read.events] == ["About to Get from storage"]


async def test_answers_that_are_no_objects(serving: Any) -> None:
    async with traced(serving) as (api, collector):
        assert (await api("GET", "/apis/nowhere.example.com/v1/things")).status == 404
        assert (await api("GET", MAPS, accept="text/css")).status == 406
        assert (await api("GET", "/version")).status == 200
        await api.server.stop()
        names = [span.name for span in collector.spans]
        assert "SerializeObject" not in names
        assert names.count("List") == 1  # of the kind that there is


async def test_what_fails_here_is_told(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with traced(serving) as (api, collector):
        monkeypatch.setattr(api.server.objects, "get", _breaks)
        assert (await api("GET", f"{MAPS}/m")).status == 500
        await api.server.stop()
        whole = collector.named("GET /api/v1/namespaces/{:namespace}/configmaps/{:name}")
        assert (whole.status.code, whole.status.message) == (2, "")
        (told,) = whole.events
        said = {"exception.type": "ZeroDivisionError", "exception.message": "by none"}
        assert (told.name, attributes(told.attributes)) == ("exception", said)


async def _breaks(*_args: Any) -> Any:
    raise ZeroDivisionError("by none")


async def test_sizes(serving: Any) -> None:
    async with traced(serving) as (api, collector):
        body = {"metadata": {"name": "m"}}
        made = await api("POST", MAPS, body)
        await api.get(f"{MAPS}/m")
        await api.server.stop()
        post, get = [attributes(span.attributes) for span in collector.spans if span.kind == 2]
        assert post["http.request.body.size"] == len(orjson.dumps(body))
        assert post["http.response.body.size"] == len(made.raw)
        assert "http.request.body.size" not in get


async def test_what_others_answer_has_no_handler(serving: Any) -> None:
    async with traced(serving) as (api, collector):
        await api.create("/apis/apiregistration.k8s.io/v1/apiservices", ELSEWHERE)
        await api.settle()
        assert (await api("GET", "/apis/there.example.com/v1/things")).status == 503
        await api.server.stop()
        assert {span.name for span in collector.spans} >= {"GET /apis/there.example.com/v1/things"}
        assert "List" not in {span.name for span in collector.spans}


async def test_a_watch_ends_with_its_stream(serving: Any) -> None:
    async with traced(serving) as (api, collector):
        response = await api.send("GET", f"{MAPS}?watch=1")
        await api.create(MAPS, {"metadata": {"name": "m"}})
        assert await anext(response.stream)
        await response.stream.aclose()
        await response.stream.aclose()
        await api.server.stop()
        names = [span.name for span in collector.spans if span.kind == 2]
        route = "/api/v1/namespaces/{:namespace}/configmaps"
        assert names == [f"POST {route}", f"GET {route}"]
        watched = collector.named(f"GET {route}")
        assert attributes(watched.attributes)["http.response.body.size"] > 0
        assert "List" not in [span.name for span in collector.spans]


async def test_a_watch_that_is_refused(serving: Any) -> None:
    async with traced(serving) as (api, collector):
        assert (await api("GET", f"{MAPS}?watch=1&resourceVersion=x")).status == 400
        await api.server.stop()
        names = [span.name for span in collector.spans]
        assert "List" not in names
        told, whole = collector.named("SerializeObject"), [one for one in collector.spans if one.kind == 2]
        assert [one.span_id for one in whole] == [told.parent_span_id]


async def test_nothing_is_sent_of_what_is_not_sampled(serving: Any) -> None:
    async with traced(serving, per_million=0) as (api, collector):
        await api.get(MAPS)
        await api.server.stop()
        assert collector.requests == []


async def test_without_it_nothing_is_in_between(api: Any) -> None:
    assert api.server.tracing is None
    assert api.server.backend.store is api.server.objects
    assert api.server.handler.at_once is not None
