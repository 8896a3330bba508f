"""A device plugin over real sockets, and a node that hands out its devices."""

import shutil
import tempfile
from pathlib import Path

import grpc
import grpc.aio
import pytest
from device_plugin import GPU, Plugin
from fake_node import Node

from tiphys.client.kinds import NODES, PODS
from tiphys.kubelet.runtime import RuntimeFailure

pytestmark = pytest.mark.usefixtures("no_cgroups")


@pytest.fixture
async def node():
    # The path of a socket must be short.
    folder = Path(tempfile.mkdtemp(prefix="dp"))
    made = Node(folder, device_plugins=True)
    made.plugin = Plugin(made.options.root_dir / "device-plugins")
    yield made
    if made.plugin.server is not None:
        await made.plugin.server.stop(None)
    await made.client.close()
    shutil.rmtree(folder)


def amounts(node):
    status = (node.api.get(NODES, "n1") or {}).get("status") or {}
    return [(status.get(field) or {}).get(GPU) for field in ("capacity", "allocatable")]


async def offer(node, *, healthy=("g0", "g1"), ill=("g2",), **options):
    await node.until(lambda: (node.plugin.folder / "kubelet.sock").exists() and amounts(node) is not None)
    await node.until(lambda: (node.api.get(NODES, "n1") or {}).get("status"))
    if node.plugin.server is None:
        await node.plugin.start()
    listed = {**dict.fromkeys(healthy, "Healthy"), **dict.fromkeys(ill, "Unhealthy")}
    node.plugin.devices.put_nowait(listed)
    await node.plugin.register(**options)
    total, good = len(listed), len(healthy)
    await node.until(lambda: amounts(node) == [str(total), str(good)], "the node's devices")


def wants(amount):
    return [{"name": "c", "image": "img:1", "resources": {"limits": {GPU: str(amount)}}}]


def config_of(node):
    return next(config for config in node.runtime.configs.values() if config.get("devices"))


async def test_devices_reach_the_container(node):
    async with node.running():
        await offer(node, pre_start_required=True)
        await node.create(containers=wants(2))
        await node.until(node.ready)
        config = config_of(node)
        assert {"key": "GPUS", "value": b"g0,g1"} in config["envs"]
        assert config["devices"] == [
            {"container_path": "/dev/g", "host_path": "/dev/g0", "permissions": "rw"}
        ]
        assert {"container_path": "/lib/gpu", "host_path": "/opt/gpu", "readonly": True} in config["mounts"]
        assert config["annotations"]["gpu"] == "yes"
        assert config["CDI_devices"] == [{"name": "example.com/gpu=0"}]
        assert node.plugin.calls == [("Allocate", ["g0", "g1"]), ("PreStartContainer", ["g0", "g1"])]


async def test_more_than_there_are(node):
    async with node.running():
        await offer(node)
        await node.create("first", wants(1))
        await node.until(lambda: node.ready("first"))
        await node.create("second", wants(2))
        await node.until(lambda: node.phase("second") == "Failed")
        assert node.status("second")["reason"] == f"OutOf{GPU}"
        node.api.delete_pod("first", grace_s=0)
        await node.until(lambda: node.api.get(PODS, "first", "default") is None)
        await node.create("third", wants(2))
        await node.until(lambda: node.ready("third"))


async def test_a_restarted_kubelet_knows_who_has_what(node):
    async with node.running():
        await offer(node)
        await node.create("first", wants(1))
        await node.until(lambda: node.ready("first"))
    async with node.running():
        await offer(node)
        await node.create("second", wants(1))
        await node.until(lambda: node.ready("second"))
    assert [call for call in node.plugin.calls if call[0] == "Allocate"] == [
        ("Allocate", ["g0"]),
        ("Allocate", ["g1"]),
    ]


async def test_what_comes_with_devices_is_kept(node):
    async with node.running():
        await offer(node)
        await node.create(containers=wants(1))
        await node.until(node.ready)
    await node.plugin.server.stop(None)
    async with node.running():
        await node.until(lambda: node.kubelet.workers)
        node.runtime.exit("c", 1)
        await node.until(lambda: node.container().get("restartCount") == 1 and node.ready())
    given = [config["envs"] for config in node.runtime.configs.values() if config.get("devices")]
    assert len(given) == 2
    assert all({"key": "GPUS", "value": b"g0"} in variables for variables in given)
    assert node.plugin.calls == [("Allocate", ["g0"])]


async def test_a_plugin_that_goes_away_leaves_nothing_healthy(node):
    async with node.running():
        await offer(node)
        await node.plugin.server.stop(None)
        await node.until(lambda: amounts(node) == ["3", "0"])


async def test_devices_are_made_ready_before_anything_starts(node):
    """Also those of containers that come later."""
    async with node.running():
        await offer(node)
        node.runtime.fail["run_sandbox"] = RuntimeFailure("UNKNOWN", "no network")
        first, second = wants(1)[0], wants(1)[0]
        await node.create(containers=[second], initContainers=[{**first, "name": "i"}])
        await node.until(lambda: len(node.plugin.calls) == 2)
        assert node.plugin.calls == [("Allocate", ["g0"])] * 2


async def test_a_plugin_that_fails_is_told(node):
    async with node.running():
        await offer(node)
        node.plugin.fail = True
        await node.create(containers=wants(1))
        await node.until(lambda: node.phase() == "Failed")
        assert node.status()["reason"] == "UnexpectedAdmissionError"
        assert node.status()["message"] == (
            "Pod was rejected: Allocate failed due to rpc error: code = Internal desc = no driver, "
            "which is unexpected"
        )
        node.plugin.fail = False
        await node.create("other", wants(2))
        await node.until(lambda: node.ready("other"))


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"version": "v1"},
            'requested API version "v1" is not supported by kubelet. Supported version is ["v1beta1"]',
        ),
        ({"name": "gpu"}, 'the ResourceName "gpu" is invalid'),
        ({"name": "kubernetes.io/gpu"}, 'the ResourceName "kubernetes.io/gpu" is invalid'),
    ],
)
async def test_registrations_that_are_refused(node, fields, text):
    async with node.running():
        await node.until(lambda: (node.plugin.folder / "kubelet.sock").exists())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await node.plugin.register(**fields)
        assert caught.value.details() == text
