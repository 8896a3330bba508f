"""Verdicts from answers, and answers from real sockets on loopback."""

import asyncio

import pytest
from fake_cri import FakeRuntime

from tiphys.kubelet.kuberuntime.hooks import HookFailure, run_hook
from tiphys.kubelet.probes.run import Target, ask
from tiphys.kubelet.probes.state import ProbeState, ProbeTimes, step
from tiphys.kubelet.runtime import ExecResult, RuntimeFailure
from tiphys.wire.message import Response
from tiphys.wire.server import serve


@pytest.mark.parametrize(
    ("initial", "answers", "thresholds", "verdicts"),
    [
        (True, "nnn", (1, 3), "TTF"),
        (True, "nnynn", (1, 3), "TTTTT"),
        (False, "yyn", (1, 1), "TTF"),
        (False, "yynyy", (2, 1), "FTFFT"),
        (None, "ny", (1, 3), "-T"),
        (None, "nn", (1, 2), "-F"),
    ],
)
def test_verdicts(initial, answers, thresholds, verdicts):
    times = ProbeTimes(0, 10, 1, *thresholds)
    state, seen = ProbeState(initial), ""
    for answer in answers:
        state = step(state, times, answer=answer == "y")
        seen += {True: "T", False: "F", None: "-"}[state.verdict]
    assert seen == verdicts


def test_times_have_defaults():
    assert ProbeTimes.of({}) == ProbeTimes(0, 10, 1, 1, 3)
    probe = {
        "initialDelaySeconds": 1,
        "periodSeconds": 2,
        "timeoutSeconds": 3,
        "successThreshold": 4,
        "failureThreshold": 5,
    }
    assert ProbeTimes.of(probe) == ProbeTimes(1, 2, 3, 4, 5)


def target(runtime=None, **ports):
    return Target(runtime or FakeRuntime(), "id", "127.0.0.1", ports)


async def handler(request):
    if request.path == "/away":
        return Response(302, {"Location": "http://192.0.2.1/"}, b"gone")
    if request.path == "/here":
        return Response(302, {"Location": "/ok"})
    if request.path == "/agent":
        return Response(200 if request.headers["user-agent"].startswith("kube-probe/") else 400)
    return Response({"/ok": 200, "/moved": 399}.get(request.path, 500))


@pytest.mark.parametrize(
    ("path", "ok", "text"),
    [
        ("/ok", True, ""),
        ("ok", True, ""),
        ("/here", True, ""),
        ("/away", True, "Probe terminated redirects, Response body: gone"),
        ("/agent", True, ""),
        ("/bad", False, "HTTP probe failed with statuscode: 500"),
    ],
)
async def test_http(path, ok, text):
    async with serve(handler) as server:
        answer = await ask({"httpGet": {"path": path, "port": "web"}}, target(web=server.port), 2)
    assert (answer.ok, answer.text, answer.asked) == (ok, text, True)
    assert answer.warning is (path == "/away")


async def test_nobody_there():
    async with serve(handler) as server:
        port = server.port
    answer = await ask({"httpGet": {"path": "/", "port": port}}, target(), 2)
    assert (
        answer.text
        == f'Get "http://127.0.0.1:{port}/": dial tcp 127.0.0.1:{port}: connect: connection refused'
    )
    answer = await ask({"tcpSocket": {"port": port}}, target(), 2)
    assert answer.text == f"dial tcp 127.0.0.1:{port}: connect: connection refused"


async def test_tcp():
    async with serve(handler) as server:
        assert (await ask({"tcpSocket": {"port": server.port}}, target(), 2)).ok


async def test_unknown_port_name():
    answer = await ask({"tcpSocket": {"port": "nope"}}, target(), 2)
    assert (answer.ok, answer.asked) == (False, False)


async def test_exec():
    runtime = FakeRuntime()
    runtime.exec_answer = lambda command: ExecResult(2, b"why")
    answer = await ask({"exec": {"command": ["x"]}}, target(runtime), 1)
    assert (answer.ok, answer.text) == (False, "why")
    runtime.fail["exec_sync"] = RuntimeFailure("DEADLINE_EXCEEDED", "slow")
    answer = await ask({"exec": {"command": ["sh", "-c", "x y"]}}, target(runtime), 1)
    assert (answer.ok, answer.asked) == (False, True)
    assert answer.text == 'command timed out: "sh -c x y" timed out after 1s'
    runtime.fail["exec_sync"] = RuntimeFailure("UNKNOWN", "no such command")
    answer = await ask({"exec": {"command": ["x"]}}, target(runtime), 1)
    assert (answer.ok, answer.asked) == (False, False)
    assert answer.text == "rpc error: code = Unknown desc = no such command"


async def test_grpc():
    import grpc
    import grpc.aio

    replies = {b"": b"\x08\x01", b"\x0a\x03bad": b"\x08\x02"}

    async def check(request, context):
        return replies[request]

    server = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(check)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": method}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        assert (await ask({"grpc": {"port": port}}, target(), 2)).ok
        answer = await ask({"grpc": {"port": port, "service": "bad"}}, target(), 2)
        assert answer.text == 'service unhealthy (responded with "NOT_SERVING")'
    finally:
        await server.stop(None)


async def test_hooks():
    runtime = FakeRuntime()
    await run_hook({"exec": {"command": ["ok"]}}, target(runtime))
    await run_hook({"sleep": {"seconds": 0}}, target(runtime))
    runtime.exec_answer = lambda command: ExecResult(1, b"no")
    with pytest.raises(HookFailure, match="exited with 1: no"):
        await run_hook({"exec": {"command": ["bad"]}}, target(runtime))
    async with serve(handler) as server:
        await run_hook({"httpGet": {"path": "/ok", "port": server.port}}, target())
        with pytest.raises(HookFailure):
            await asyncio.wait_for(run_hook({"httpGet": {"path": "/x", "port": server.port}}, target()), 5)
