"""A kubelet that traces: rounds of its pods, requests to it, calls of the runtime."""

import pytest
from endpoint import Context, Everybody
from fake_node import Node
from tests.wire.collector import attributes, collecting

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.tracing import MILLION, Tracer, read_headers
from tiphys.apimachinery.tracing_config import TracingOptions
from tiphys.kubelet.cri.client import CriClient
from tiphys.kubelet.options import ServerOptions
from tiphys.kubelet.runtime import RuntimeFailure
from tiphys.kubelet.server.server import KubeletServer
from tiphys.kubelet.tracing import Tracing
from tiphys.wire.message import Request

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
FROM = {"traceparent": f"00-{TRACE}-{SPAN}-01"}


async def test_rounds_of_a_pod(tmp_path):
    async with collecting() as collector:
        options = TracingOptions(f"127.0.0.1:{collector.port}", MILLION)
        node = Node(tmp_path, tracing=options)
        async with node.running():
            await node.create()
            await node.until(lambda: node.phase() == "Running", "a running pod")
        rounds = [span for span in collector.spans if span.name == "syncPod"]
        assert rounds
        assert len({span.trace_id for span in rounds}) == len(rounds)
        said = attributes(rounds[0].attributes)
        assert said.pop("k8s.pod.uid")
        assert said == {
            "k8s.pod": "default/p",
            "k8s.pod.name": "p",
            "k8s.namespace.name": "default",
            "k8s.pod.update_type": "sync",
        }
        assert collector.resource == {"service.name": "kubelet", "host.name": "n1"}
        scopes = {
            one.scope.name: {span.kind for span in one.spans}
            for request in collector.requests
            for one in request.resource_spans[0].scope_spans
        }
        assert scopes["k8s.io/kubernetes/pkg/kubelet"] == {1}


async def test_who_does_not_trace_has_nothing_of_it(tmp_path):
    node = Node(tmp_path)
    async with node.running():
        await node.until(lambda: node.kubelet.node is not None, "a node")
        assert node.kubelet.node.tracing is None


async def test_requests_go_on_with_the_callers_trace(tmp_path):
    spans = []
    context = Context(tmp_path, None)
    context.tracing = Tracing(TracingOptions(), "n1", FakeClock())
    context.tracing._tracer = Tracer(0, FakeClock(), spans.append)
    server = KubeletServer(context, ServerOptions(), list, Everybody())
    for path in ("/containerLogs/ns/p/c", "/pods/more", "/nothing"):
        assert (await server.handle(Request("GET", path, headers=FROM))).status == 404
    route = "/containerLogs/{podNamespace}/{podID}/{containerName}"
    assert [span.name for span in spans] == [route, "/pods/more"]
    assert spans[0].context.trace_id.hex() == TRACE
    assert spans[0].parent.span_id.hex() == SPAN
    assert spans[0].attributes["http.response.status_code"] == 404


async def test_the_runtime_is_told_who_calls(monkeypatch):
    spans, told = [], []
    client = CriClient("unix:///nowhere")

    async def answer(_request, *, timeout, metadata=()):
        told.append(dict(metadata))
        if timeout == 1.0:
            raise RuntimeFailure("INTERNAL", "broken")
        return "answer"

    monkeypatch.setattr(client, "_call", lambda _service, _name: answer)
    assert await client.call("RuntimeService", "Version") == "answer"
    tracer = Tracer(MILLION, FakeClock(), spans.append)
    with tracer.span("syncPod") as whole:
        await client.call("RuntimeService", "Version")
        with pytest.raises(RuntimeFailure):
            await client.call("ImageService", "PullImage", timeout_s=1.0)
    good, bad, _ = spans
    assert (good.name, good.kind, good.parent) == ("runtime.v1.RuntimeService/Version", 3, whole.context)
    broken = str(RuntimeFailure("INTERNAL", "broken"))
    assert (bad.name, bad.error) == ("runtime.v1.ImageService/PullImage", broken)
    assert told[0] == {}
    assert read_headers(told[1]).span_id == good.context.span_id
