"""Commands and checkpoints asked of the endpoint, and the plain port."""

import json

import pytest
from endpoint import Context, Everybody, ask
from pods import container, have, pod, running

from tiphys.kubelet.options import ServerOptions
from tiphys.kubelet.runtime import ExecResult, RuntimeFailure
from tiphys.kubelet.server.server import KubeletServer
from tiphys.wire.message import Request


class Nobody:
    async def check(self, request):
        raise AssertionError("nobody is asked")


@pytest.fixture
def made(tmp_path):
    context = Context(tmp_path, have(running()))
    context.volumes = type("Volumes", (), {"root": tmp_path})()
    server = KubeletServer(context, ServerOptions(), lambda: [pod(container(), container("d"))], Everybody())
    server.runtime = context.runtime
    return server


@pytest.mark.parametrize(
    ("path", "method", "status", "text"),
    [
        ("/run/ns/p/c", "POST", 200, "ls -l"),
        ("/run/ns/p/uid-1/c", "POST", 200, "ls -l"),
        ("/run/ns/p/uid-2/c", "POST", 200, "ls -l"),
        ("/run/ns/q/c", "POST", 404, "pod does not exist"),
        ("/run/ns/p/d", "POST", 500, 'container not found ("d")'),
        ("/run/ns/p", "POST", 404, "404: Page Not Found"),
        ("/run/ns/p/c", "GET", 405, "405: Method Not Allowed"),
    ],
)
async def test_run(made, path, method, status, text):
    made.runtime.exec_answer = lambda command: ExecResult(0, " ".join(command).encode())
    assert await ask(made, path, "cmd=ls+-l", method) == (status, text)


async def test_a_command_that_fails(made):
    made.runtime.exec_answer = lambda command: ExecResult(3, b"some\nno\n", b"no\n")
    answer = await ask(made, "/run/ns/p/c", "cmd=ls+-l", "POST")
    assert answer == (500, "command 'ls -l' exited with 3: no\n")


async def test_checkpoint(made, tmp_path):
    status, text = await ask(made, "/checkpoint/ns/p/c", "timeout=7", "POST")
    assert status == 200
    (path,) = json.loads(text)["items"]
    assert path.startswith(f"{tmp_path}/checkpoints/checkpoint-p_ns-c-")
    assert path.endswith(".tar")
    assert made.runtime.names("checkpoint_container") == [f"c0 {path} 120"]
    await ask(made, "/checkpoint/ns/p/c", "timeout=1&timeout=500", "POST")
    assert made.runtime.names("checkpoint_container")[-1].endswith(" 500")


@pytest.mark.parametrize(
    ("path", "query", "status", "text"),
    [
        ("/checkpoint/ns/q/c", "", 404, "pod does not exist"),
        ("/checkpoint/ns/p/e", "", 404, "container e does not exist"),
        ("/checkpoint/ns/p/d", "", 500, "checkpointing of ns/p/d failed (container d not found)"),
        (
            "/checkpoint/ns/p/c",
            "timeout=-1",
            500,
            "checkpointing of ns/p/c failed (CheckpointContainer requires the timeout value to be > 0)",
        ),
        ("/checkpoint/ns/p/c", "timeout=1_0", 404, "cannot parse value of timeout parameter"),
        ("/checkpoint/ns/p/c", "timeout=x", 404, "cannot parse value of timeout parameter"),
        ("/checkpoint/ns/p/c", "timeout=1&timeout=x", 404, "cannot parse value of timeout parameter"),
    ],
)
async def test_checkpoints_that_cannot_be(made, path, query, status, text):
    assert await ask(made, path, query, "POST") == (status, text)


async def test_a_runtime_without_checkpoints(made):
    made.runtime.fail["checkpoint_container"] = RuntimeFailure("UNIMPLEMENTED", "unknown method")
    status, text = await ask(made, "/checkpoint/ns/p/c", "", "POST")
    assert status == 500
    assert text.startswith("checkpointing of ns/p/c failed (rpc error: code = Unimplemented desc = ")


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/pods", "GET", 200),
        ("/healthz", "GET", 200),
        ("/metrics/probes", "GET", 200),
        ("/pods", "POST", 405),
        ("/run/ns/p/c", "POST", 405),
        ("/exec/ns/p/c", "GET", 405),
        ("/logs/", "GET", 405),
        ("/checkpoint/ns/p/c", "POST", 404),
        ("/configz", "GET", 404),
    ],
)
async def test_the_plain_port(made, path, method, status):
    made._access = Nobody()
    assert (await made.handle_read_only(Request(method, path))).status == status
