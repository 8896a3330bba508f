"""The endpoint's routes, who may use them, and upgrades passed on."""

import asyncio
import json
import ssl

import pytest
from endpoint import Context, Everybody, ask
from pods import container, ended, have, pod, running

from tiphys.apimachinery.clock import FakeClock, RealClock
from tiphys.apimachinery.featuregates import resolve
from tiphys.kubelet.options import AccessOptions, ServerOptions
from tiphys.kubelet.server.auth import Access
from tiphys.kubelet.server.server import KubeletServer
from tiphys.wire import pki, serving_files
from tiphys.wire.message import Request

UNSPLIT = (
    'unable to return the given log stream: "{}". '
    "Please enable PodLogsQuerySplitStreams feature gate in kubelet"
)


def server(tmp_path, runtime_pod, the_pod=None, **rest):
    the_pod = the_pod or pod(container(), container("d"))
    options = ServerOptions(system_logs_dir=tmp_path / "var")
    return KubeletServer(Context(tmp_path, runtime_pod), options, lambda: [the_pod], Everybody(), **rest)


@pytest.mark.parametrize(
    ("path", "query", "status", "text"),
    [
        ("/containerLogs/ns/p/c", "", 200, "now\n"),
        ("/containerLogs/ns/p/c", "previous=true", 200, "before\n"),
        ("/containerLogs/ns/p/c", "previous", 200, "before\n"),
        ("/containerLogs/ns/p/c", "previous=0", 200, "now\n"),
        ("/containerLogs/ns/p/c", "tailLines=x", 400, '{"message": "Unable to decode query."}'),
        ("/containerLogs/ns/p/c", "sinceTime=today", 400, '{"message": "Unable to decode query."}'),
        ("/containerLogs/ns/p/c", "tail=-1", 422, '{"message": "Invalid request."}'),
        ("/containerLogs/ns/p/d", "", 400, 'container "d" in pod "p" is not available'),
        ("/containerLogs/ns/p/c", "stream=All", 200, "now\n"),
        ("/containerLogs/ns/p/c", "stream=Stdout", 400, UNSPLIT.format("Stdout")),
        ("/containerLogs/ns/p/c", "stream=both", 400, UNSPLIT.format("both")),
        ("/containerLogs/ns/p/e", "stream=both", 404, 'container "e" not found in pod "p"'),
        ("/containerLogs/ns/p/e", "", 404, 'container "e" not found in pod "p"'),
        ("/containerLogs/ns/q/c", "", 404, 'pod "q" does not exist'),
    ],
)
async def test_routes(tmp_path, path, query, status, text):
    folder = tmp_path / "ns_p_uid-1" / "c"
    folder.mkdir(parents=True)
    (folder / "0.log").write_text("2026-01-01T00:00:00Z stdout F before\n")
    (folder / "1.log").write_text("2026-01-01T00:00:00Z stdout F now\n")
    made = server(tmp_path, have(running(attempt=1), ended()))
    assert await ask(made, path, query) == (status, text)


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ({"state": {"waiting": {"reason": "ContainerCreating"}}}, "waiting to start: ContainerCreating"),
        ({"state": {"waiting": {"reason": "ErrImagePull"}}}, "waiting to start: image can't be pulled"),
        ({"state": {"waiting": {"reason": "ImagePullBackOff"}}},
         "waiting to start: trying and failing to pull image"),
        ({"state": {}}, "waiting to start - no logs yet"),
        ({"state": {"terminated": {"exitCode": 137}}}, "terminated"),
        ({"state": {"waiting": {}}, "lastState": {"terminated": {"exitCode": 137}}}, "terminated"),
    ],
)  # fmt: skip
async def test_containers_that_have_no_log(tmp_path, status, why):
    the_pod = pod(container(), container("d"), status={"containerStatuses": [{"name": "d", **status}]})
    made = server(tmp_path, have(running()), the_pod)
    answer = await ask(made, "/containerLogs/ns/p/d")
    assert answer == (400, f'container "d" in pod "p" is {why}')


async def test_one_stream_where_that_is_on(tmp_path):
    folder = tmp_path / "ns_p_uid-1" / "c"
    folder.mkdir(parents=True)
    stamp = "2026-01-01T00:00:00Z"
    (folder / "0.log").write_text(f"{stamp} stdout F out\n{stamp} stderr F err\n")
    options = ServerOptions(gates=resolve({"PodLogsQuerySplitStreams": True}))
    context = Context(tmp_path, have(running()))
    made = KubeletServer(context, options, lambda: [pod(container())], Everybody())
    assert await ask(made, "/containerLogs/ns/p/c", "stream=Stderr") == (200, "err\n")
    assert (await ask(made, "/containerLogs/ns/p/c", "stream=both"))[0] == 422
    response = await made.handle(Request("GET", "/containerLogs/ns/p/c"))
    assert "content-type" not in {name.lower() for name in response.headers}


async def test_files_that_are_written_anew(tmp_path, monkeypatch):
    """Who is believed and what is shown follow the files, connections stay as they are."""
    monkeypatch.setattr(serving_files, "_LOOK_S", 0.005)
    now = RealClock().now()
    old, new = (pki.make_ca(name, now) for name in ("old", "new"))
    bundle, certificate, key = (tmp_path / name for name in ("ca.crt", "tls.crt", "tls.key"))
    bundle.write_bytes(old.certificate)
    pki.issue_server(old, "n1", ["localhost"], now).write(certificate, key)
    options = ServerOptions(
        address="127.0.0.1", port=0, client_ca=bundle, certificate=certificate, key=key,
        access=AccessOptions(webhook_authorization=False),
    )  # fmt: skip
    context = Context(tmp_path, have(running()))
    context.clock = FakeClock(now)
    access = Access(None, "n1", context.clock, options.access)
    listening = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(KubeletServer(context, options, list, access).run(listening.set_result))
    port = await listening

    async def status(believed, shown):
        client = ssl.create_default_context(cadata=believed.certificate.decode())
        client.check_hostname = False
        pki.load_pair(client, pki.issue_client(shown, "me", (), now))
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
            writer.write(b"GET /pods HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            line = await reader.readline()
            writer.close()
        except ssl.SSLCertVerificationError:
            return "another server"
        return int(line.split()[1])

    async def until(believed, shown, wanted):
        async with asyncio.timeout(10):
            while await status(believed, shown) != wanted:  # noqa: ASYNC110 - as a client sees it
                await asyncio.sleep(0.005)

    try:
        assert (await status(old, old), await status(old, new)) == (200, 401)
        bundle.write_bytes(new.certificate)
        await until(old, new, 200)
        assert (await status(old, old), await status(new, new)) == (401, "another server")
        pki.issue_server(new, "n1", ["localhost"], now).write(certificate, key)
        await until(new, new, 200)
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_no_previous_container(tmp_path):
    status, text = await ask(server(tmp_path, have(running())), "/containerLogs/ns/p/c", "previous=1")
    assert (status, text) == (400, 'previous terminated container "c" in pod "p" not found')


async def test_pods_as_the_api_and_as_the_runtime_knows_them(tmp_path):
    made = server(tmp_path, have(running(), ended("d")))
    status, text = await ask(made, "/pods")
    wanted = json.loads(text)
    assert (status, wanted["kind"], wanted["apiVersion"]) == (200, "PodList", "v1")
    assert [one["name"] for one in wanted["items"][0]["spec"]["containers"]] == ["c", "d"]
    assert not {"apiVersion", "kind"} & set(wanted["items"][0])
    status, text = await ask(made, "/runningpods/")
    assert status == 200
    assert json.loads(text)["items"] == [
        {"metadata": {"name": "p", "namespace": "ns", "uid": "uid-1"},
         "spec": {"containers": [{"name": "c", "image": "img", "resources": {}}]}, "status": {}},
    ]  # fmt: skip
    nothing = server(tmp_path, have(ended(), sandboxes=[]))
    empty = '{"kind":"PodList","apiVersion":"v1","metadata":{},"items":null}\n'
    assert await ask(nothing, "/runningpods/") == (200, empty)


async def test_health(tmp_path):
    clock = FakeClock()
    began = clock.monotonic()
    made = server(tmp_path, have(), looked=lambda: began)
    made._node.clock = clock
    assert await ask(made, "/healthz") == (200, "ok")
    assert await ask(made, "/healthz/syncloop") == (200, "ok")
    assert await ask(made, "/healthz/nothing") == (404, "404 page not found\n")
    assert await ask(made, "/healthz", "verbose") == (
        200, "[+]ping ok\n[+]log ok\n[+]syncloop ok\nhealthz check passed\n"
    )  # fmt: skip
    clock.advance(299)
    assert await ask(made, "/healthz") == (200, "ok")
    clock.advance(2)
    assert await ask(made, "/healthz") == (
        500, "[+]ping ok\n[+]log ok\n[-]syncloop failed: reason withheld\nhealthz check failed\n"
    )  # fmt: skip
    assert await ask(made, "/healthz/syncloop") == (
        500, "internal server error: sync Loop took longer than expected\n"
    )  # fmt: skip
    assert await ask(made, "/healthz", "exclude=syncloop") == (200, "ok")
    assert await ask(made, "/healthz", "exclude=syncloop&exclude=x&verbose") == (
        200, "[+]ping ok\n[+]log ok\n[+]syncloop excluded: ok\n"
        'warn: some health checks cannot be excluded: no matches for "x"\nhealthz check passed\n'
    )  # fmt: skip


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/healthz", 200, b"ok"),
        ("/healthz?verbose", 200, b"[+]ping ok\nhealthz check passed\n"),
        ("/healthz/ping", 200, b"ok"),
        ("/healthz/syncloop", 404, b"404 page not found\n"),
        ("/healthz/log", 404, b"404 page not found\n"),
        ("/pods", 404, b"404 page not found\n"),
        ("/", 404, b"404 page not found\n"),
    ],
)
async def test_the_plain_port_tells_whether_anybody_is_there(tmp_path, path, status, body):
    clock = FakeClock()
    began = clock.monotonic()
    made = server(tmp_path, have(), looked=lambda: began)
    made._node.clock = clock
    clock.advance(1000)
    path, _, query = path.partition("?")
    answer = await made.handle_health(Request("GET", path, query))
    assert (answer.status, answer.body) == (status, body)


async def test_configz(tmp_path):
    made = server(tmp_path, have(), configuration=lambda: {"maxPods": 7})
    status, text = await ask(made, "/configz")
    assert (status, json.loads(text)) == (200, {"kubeletconfig": {"maxPods": 7}})


async def test_metrics_of_what_runs(tmp_path):
    status, text = await ask(server(tmp_path, have(running(), ended("d"), ended("e"))), "/metrics")
    lines = text.splitlines()
    assert status == 200
    for line in (
        'kubelet_node_name{node="n1"} 1',
        "kubelet_running_pods 1",
        'kubelet_running_containers{container_state="running"} 1',
        'kubelet_running_containers{container_state="exited"} 2',
        'kubelet_desired_pods{static=""} 1',
    ):
        assert line in lines


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/logs/", 200, '<a href="containers/">containers/</a>\n<a href="sys%3Clog">sys&lt;log</a>\n'),
        ("/logs", 307, ""),
        ("/logs/containers", 301, ""),
        ("/logs/containers/", 200, '<a href="link.log">link.log</a>\n'),
        ("/logs/containers/link.log", 200, "hello\n"),
        ("/logs/sys<log", 200, "x" * 100_000),
        ("/logs/sys<log/", 301, ""),
        ("/logs/nothing", 404, "404 page not found\n"),
        ("/logs/../secret", 404, "404 page not found\n"),
        ("/logs/containers/../../secret", 404, "404 page not found\n"),
        ("/logs/sys<log/more", 404, "404 page not found\n"),
        ("/logs/\0", 404, "404 page not found\n"),
    ],
)
async def test_logs_of_the_node(tmp_path, path, status, text):
    logs = tmp_path / "var"
    (logs / "containers").mkdir(parents=True)
    (logs / "sys<log").write_text("x" * 100_000)
    (tmp_path / "elsewhere.log").write_text("hello\n")
    (tmp_path / "secret").write_text("secret")
    (logs / "containers" / "link.log").symlink_to(tmp_path / "elsewhere.log")
    found, body = await ask(server(tmp_path, have()), path)
    assert found == status
    assert text in body
    assert "secret" not in body
