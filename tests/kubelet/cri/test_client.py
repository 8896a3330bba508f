"""The CRI client against a gRPC server that plays the runtime on a socket of its own."""

import tempfile
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest

from tiphys.kubelet import counts
from tiphys.kubelet.cri.client import CriClient
from tiphys.kubelet.cri.messages import CRI
from tiphys.kubelet.runtime import POD_UID, ContainerState, RuntimeFailure, RuntimeHandler, RuntimeUnavailable

LABELS = {POD_UID: "u", "io.kubernetes.pod.name": "p", "io.kubernetes.container.name": "c"}


class Runtime:
    """Answers by method name; ``asked`` keeps the requests."""

    def __init__(self, **answers):
        self.answers = {"Version": {"runtime_api_version": "v1", "runtime_name": "fake"}, **answers}
        self.asked = {}

    def handler(self, service, name):
        method = CRI.method(service, name)

        async def answer(request, context):
            self.asked[name] = request
            found = self.answers.get(name, {})
            if isinstance(found, grpc.StatusCode):
                await context.abort(found, "refused")
            return method.response(**found)

        return grpc.unary_unary_rpc_method_handler(
            answer,
            request_deserializer=method.request.FromString,
            response_serializer=method.response.SerializeToString,
        )

    def handlers(self):
        for service, methods in CRI.services.items():
            unary = {
                name: self.handler(service, name)
                for name, item in methods.items()
                if not item.streams_response
            }
            yield grpc.method_handlers_generic_handler(f"runtime.v1.{service}", unary)


@asynccontextmanager
async def playing(**answers):
    runtime = Runtime(**answers)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "s"))
        server = grpc.aio.server()
        server.add_generic_rpc_handlers(tuple(runtime.handlers()))
        server.add_insecure_port(f"unix://{path}")
        await server.start()
        try:
            async with CriClient(path) as client:
                yield client, runtime
        finally:
            await server.stop(None)


async def test_info():
    conditions = [{"type": "RuntimeReady", "status": True}, {"type": "NetworkReady", "message": "no cni"}]
    async with playing(Status={"status": {"conditions": conditions}}) as (client, _):
        info = await client.wait_ready(5)
    assert (info.name, info.ready, info.network_ready, info.network_message) == (
        "fake",
        True,
        False,
        "no cni",
    )


async def test_what_newer_runtimes_can_do():
    handlers = [
        {"name": "", "features": {"recursive_read_only_mounts": True, "user_namespaces": True}},
        {"name": "plain"},
    ]
    said = {"runtime_handlers": handlers, "features": {"supplemental_groups_policy": True}}
    async with playing(Status=said) as (client, _):
        info = await client.info()
    assert info.handlers == (RuntimeHandler("", True, True), RuntimeHandler("plain"))
    assert info.supplemental_groups_policy is True
    async with playing(Status={}) as (client, _):
        info = await client.info()
    assert (info.handlers, info.supplemental_groups_policy) == ((), None)


async def test_other_api_version():
    async with playing(Version={"runtime_api_version": "v1alpha2"}) as (client, _):
        with pytest.raises(RuntimeFailure, match="speaks CRI v1alpha2, not v1"):
            await client.info()


async def test_errors_are_ours():
    async with playing(RemoveContainer=grpc.StatusCode.NOT_FOUND) as (client, _):
        with pytest.raises(RuntimeFailure) as caught:
            await client.remove_container("x")
    assert caught.value.code == "NOT_FOUND"
    assert str(caught.value) == "rpc error: code = NotFound desc = refused"


async def test_calls_are_counted():
    def counted(what, operation):
        name = f"kubelet_runtime_operations_{what}"
        return counts.REGISTRY.sample_value(name, {"operation_type": operation}) or 0.0

    calls = [("total", "version"), ("errors_total", "version"), ("errors_total", "remove_container")]
    before = [counted(*one) for one in calls]
    async with playing(RemoveContainer=grpc.StatusCode.NOT_FOUND) as (client, _):
        await client.info()
        with pytest.raises(RuntimeFailure):
            await client.remove_container("x")
    assert [counted(*one) - was for one, was in zip(calls, before, strict=True)] == [1, 0, 1]
    assert counted("duration_seconds_count", "version") >= 1


async def test_nobody_there(tmp_path):
    async with CriClient(str(tmp_path / "none")) as client:
        with pytest.raises(RuntimeUnavailable, match="no container runtime answers"):
            await client.wait_ready(0.2)


async def test_listing_asks_by_pod():
    listed = {"id": "1", "pod_sandbox_id": "s", "state": 1, "labels": LABELS, "created_at": 10**18}
    async with playing(ListContainers={"containers": [listed, {"id": "foreign"}]}) as (client, runtime):
        (found,) = await client.list_containers("u")
        assert (found.id, found.name, found.sandbox_id, found.state) == (
            "1",
            "c",
            "s",
            ContainerState.RUNNING,
        )
        assert runtime.asked["ListContainers"].filter.label_selector[POD_UID] == "u"


async def test_statuses():
    status = {
        "id": "1", "state": 2, "labels": LABELS, "exit_code": 3, "started_at": 10**18, "reason": "Error",
        "annotations": {"io.kubernetes.container.restartCount": "4"},
    }  # fmt: skip
    network = {"ip": "10.0.0.1", "additional_ips": [{"ip": "fd00::1"}]}
    sandbox = {
        "id": "s",
        "labels": LABELS,
        "network": network,
        "linux": {"namespaces": {"options": {"network": 0}}},
    }
    async with playing(ContainerStatus={"status": status}, PodSandboxStatus={"status": sandbox}) as (
        client,
        _,
    ):
        found = await client.container_status("1")
        assert (found.exit_code, found.restart_count, found.finished_at) == (3, 4, None)
        assert found.started_at.year == 2001
        made = await client.sandbox_status("s")
        assert (made.ips, made.ready, made.host_network) == (("10.0.0.1", "fd00::1"), True, False)


async def test_configurations_are_plain_dicts():
    async with playing(RunPodSandbox={"pod_sandbox_id": "s"}) as (client, runtime):
        config = {"metadata": {"name": "p"}, "linux": {"sysctls": {"a": "1"}}}
        assert await client.run_sandbox(config, "gvisor") == "s"
        assert runtime.asked["RunPodSandbox"].config.linux.sysctls["a"] == "1"
        assert runtime.asked["RunPodSandbox"].runtime_handler == "gvisor"


async def test_images():
    image = {"id": "sha256:1", "repo_digests": ["a@b"], "uid": {"value": 5}, "size": 7}
    async with playing(ImageStatus={"image": image}) as (client, _):
        found = await client.image_status("a")
        assert (found.ref, found.uid, found.size_bytes) == ("a@b", 5, 7)
    async with playing() as (client, _):
        assert await client.image_status("a") is None


async def test_commands_end_in_their_time_or_in_any(monkeypatch):
    client, given = CriClient("unix:///nowhere"), []

    async def answer(_request, *, timeout):
        given.append(timeout)
        return CRI.method("RuntimeService", "ExecSync").response(stdout=b"a", stderr=b"b", exit_code=1)

    monkeypatch.setattr(client, "_call", lambda _service, _name: answer)
    result = await client.exec_sync("c0", ["ls"], 0)
    assert (result.exit_code, result.output, result.stderr) == (1, b"ab", b"b")
    await client.exec_sync("c0", ["ls"], 7)
    assert given == [None, 17]
