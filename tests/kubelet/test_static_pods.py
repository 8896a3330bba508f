"""Manifests of the node's own pods."""

import json

import pytest
from fake_node import Node as WholeNode

from tiphys.apimachinery.clock import FakeClock, parse_time
from tiphys.apimachinery.errors import Forbidden, ServiceUnavailable
from tiphys.client.fake_api import FakeApi
from tiphys.client.inprocess import InProcessTransport
from tiphys.client.kinds import NODES, PODS
from tiphys.client.rest import Client
from tiphys.client.transport import TransportError
from tiphys.kubelet import static_pods
from tiphys.kubelet.static_pods import SEEN, StaticPods, mirror_of, static_pod
from tiphys.kubelet.status.mirror import HASH, MIRROR, SOURCE, is_static, mirrored_by

CONTAINERS = [{"name": "c", "image": "img:1"}]
MANIFEST = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "etcd"},
    "spec": {"containers": CONTAINERS},
}


def test_the_pod_of_a_manifest():
    made = static_pod(MANIFEST, "n1")
    meta = made["metadata"]
    assert (meta["name"], meta["namespace"]) == ("etcd-n1", "default")
    assert made["spec"]["nodeName"] == "n1"
    assert (made["spec"]["restartPolicy"], made["spec"]["dnsPolicy"]) == ("Always", "ClusterFirst")
    assert meta["annotations"] == {SOURCE: "file", HASH: meta["uid"]}
    assert is_static(made)
    assert not mirrored_by(made)
    assert MANIFEST["metadata"] == {"name": "etcd"}
    other = static_pod({**MANIFEST, "spec": {"containers": CONTAINERS, "priority": 1}}, "n1")
    assert len({meta["uid"], other["metadata"]["uid"], static_pod(MANIFEST, "n2")["metadata"]["uid"]}) == 3


def test_its_mirror_is_its_nodes():
    pod = static_pod(MANIFEST, "n1")
    found = mirror_of(pod, {"metadata": {"name": "n1", "uid": "u"}}, FakeClock().now())
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u", "controller": True}
    assert found["metadata"]["ownerReferences"] == [owner]
    assert "uid" not in found["metadata"]
    assert mirrored_by(found) == pod["metadata"]["uid"]
    assert parse_time(found["metadata"]["annotations"][SEEN]) == FakeClock().now()
    assert MIRROR not in pod["metadata"]["annotations"]


@pytest.mark.parametrize(
    ("manifest", "text"),
    [
        ({}, "not a Pod"),
        ({"kind": "Service", "spec": {"a": 1}}, "not a Pod"),
        ([], "not a Pod"),
        ("text", "not a Pod"),
        ({"kind": "Pod", "spec": {"a": 1}}, "no name"),
        ({"kind": "Pod", "metadata": None, "spec": {"a": 1}}, "no name"),
        ({"kind": "Pod", "metadata": "x", "spec": {"a": 1}}, "metadata is no map"),
        ({**MANIFEST, "spec": "x"}, "spec is no map"),
        ({**MANIFEST, "metadata": {"name": "x", "annotations": []}}, "annotations is no map"),
        ({**MANIFEST, "spec": {"tolerations": {"a": 1}}}, "tolerations is no list"),
        ({**MANIFEST, "metadata": {"name": "x", 5: "y"}}, "the manifest is no JSON"),
        ({**MANIFEST, "spec": {"containers": []}}, "spec.containers: Required value"),
        ({**MANIFEST, "spec": {"containers": "c"}}, "."),
    ],
)
def test_refused(manifest, text):
    with pytest.raises(ValueError, match=text):
        static_pod(manifest, "n1")


def test_what_is_null_is_filled():
    meta = {"name": "x", "annotations": None}
    pod = static_pod(
        {"kind": "Pod", "metadata": meta, "spec": {"tolerations": None, "containers": CONTAINERS}}, "n1"
    )
    assert pod["metadata"]["annotations"].keys() == {SOURCE, HASH}
    assert pod["spec"]["tolerations"] == [{"operator": "Exists", "effect": "NoExecute"}]


class Worker:
    def __init__(self, pod):
        self.pod = pod
        self.mirror = None

    def update(self, pod):
        self.pod = pod

    def mirrored(self, mirror):
        self.mirror = mirror


class Node:
    """A folder of manifests, the API, and the pods that the node's kubelet runs."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.api = FakeApi()
        self.api.put(NODES, {"metadata": {"name": "n1", "uid": "node"}})
        self.client = Client(InProcessTransport(self.api.handler))
        self.workers = {}
        self._known = {}
        self.static = StaticPods(self, "n1", folder, self.client, FakeClock())

    def add_pod(self, pod):
        self.workers[pod["metadata"]["uid"]] = Worker(pod)

    def write(self, name, **spec):
        pod = {**MANIFEST, "metadata": {"name": name}, "spec": {"containers": CONTAINERS, **spec}}
        (self.folder / f"{name}.yaml").write_text(json.dumps(pod))

    def watch(self):
        """Tell of what has changed in the API."""
        now = {pod["metadata"]["name"]: pod for pod in self.api.all(PODS)}
        before, self._known = self._known, now
        for name in {*before, *now}:
            if before.get(name) != now.get(name):
                self.static.on_mirror(before.get(name), now.get(name))
        return now

    async def scan(self):
        """Look once; return the pods in the API."""
        await self.static.look()
        await self.static.reconcile()
        return self.watch()

    @property
    def running(self):
        return {
            worker.pod["metadata"]["name"]: worker
            for worker in self.workers.values()
            if "deletionTimestamp" not in worker.pod["metadata"]
        }

    def end(self):
        """Have the pods end that are to."""
        kept = {id(worker) for worker in self.running.values()}
        self.workers = {uid: worker for uid, worker in self.workers.items() if id(worker) in kept}


@pytest.fixture
async def node(tmp_path):
    made = Node(tmp_path / "manifests")
    yield made
    await made.client.close()


async def test_pods_and_mirrors_follow_the_folder(node):
    assert await node.scan() == {}
    node.write("a")
    node.write("b")
    (node.folder / ".hidden.yaml").write_text("{}")
    (node.folder / "README.md").write_text("words")
    first = await node.scan()
    assert sorted(first) == sorted(node.running) == ["a-n1", "b-n1"]
    assert first["a-n1"]["metadata"]["ownerReferences"][0]["uid"] == "node"
    assert node.running["a-n1"].mirror == first["a-n1"]
    calls = len(node.api.writes())
    assert await node.scan() == first
    assert len(node.api.writes()) == calls, "nothing to do"
    node.write("a", priority=1)
    (node.folder / "b.yaml").unlink()
    assert sorted(await node.scan()) == []
    assert not node.running, "what went before ends first"
    node.end()
    after = await node.scan()
    assert [after[name]["spec"]["priority"] for name in after] == [1]
    assert list(node.running) == ["a-n1"]
    assert after["a-n1"]["metadata"]["uid"] != first["a-n1"]["metadata"]["uid"]


async def test_a_mirror_that_somebody_deletes_is_made_anew_and_its_pod_runs_on(node):
    node.write("a")
    first = await node.scan()
    worker = node.running["a-n1"]
    node.api.put(PODS, {**first["a-n1"], "metadata": {**first["a-n1"]["metadata"], "deletionTimestamp": "x"}})
    node.watch()
    assert await node.scan() == {}
    assert worker.mirror is None
    again = await node.scan()
    assert again["a-n1"]["metadata"]["uid"] != first["a-n1"]["metadata"]["uid"]
    assert node.running["a-n1"] is worker
    assert worker.mirror == again["a-n1"]


async def test_mirrors_of_a_folder_that_is_no_longer_named_go(node):
    node.write("a")
    await node.scan()
    node.static = StaticPods(node, "n1", None, node.client, FakeClock())
    node._known = {}
    node.watch()
    assert await node.scan() == {}


@pytest.mark.parametrize("spoil", ["text", "folder", "link", "bytes", "null"])
async def test_a_bad_file_does_not_hold_up_the_rest(node, spoil, caplog):
    bad = node.folder / "a.yaml"
    match spoil:
        case "text":
            bad.write_text("{")
        case "folder":
            bad.mkdir()
        case "link":
            bad.symlink_to("nowhere")
        case "bytes":
            bad.write_bytes(b"\xff\xfe\xff")
        case "null":
            bad.write_text("kind: Pod\nmetadata:\nspec: {a: 1}")
    node.write("b")
    assert sorted(await node.scan()) == ["b-n1"]
    assert f"static pod manifest refused file={bad}" in caplog.text


async def test_one_that_is_refused_does_not_hold_up_the_rest(node, caplog):
    node.write("a")
    node.write("b")
    node.api.reactors.append(
        lambda request: Forbidden("no") if request.method == "POST" and b'"a-n1"' in request.body else None
    )
    with pytest.raises(TransportError):  # it is tried again
        await node.scan()
    assert sorted(node.watch()) == ["b-n1"]
    assert sorted(node.running) == ["a-n1", "b-n1"]
    assert "mirror of static pod not made pod=default/a-n1" in caplog.text
    node.api.reactors.clear()
    assert sorted(await node.scan()) == ["a-n1", "b-n1"]


@pytest.mark.usefixtures("no_cgroups")
async def test_it_runs_without_an_api_server_which_is_told_when_it_comes(tmp_path, monkeypatch):
    """So a control plane begins: its API server is one of its first node's static pods."""
    monkeypatch.setattr(static_pods, "_SCAN_S", 0.02)
    node = WholeNode(tmp_path, static_pod_dir=tmp_path / "manifests")
    node.options.static_pod_dir.mkdir()
    manifest = node.options.static_pod_dir / "api.yaml"
    manifest.write_text(json.dumps({**MANIFEST, "metadata": {"name": "api"}}))
    node.api.reactors.append(lambda request: ServiceUnavailable("not yet"))

    def started():
        return node.runtime.names("start_container")

    async with node.running():
        await node.until(started)
        assert node.api.all(PODS) == []
        node.api.reactors.clear()
        await node.until(lambda: node.phase("api-n1") == "Running")
        first = node.api.get(PODS, "api-n1", "default")
        node.api.delete_pod("api-n1")
        await node.until(lambda: _uid(node) not in (None, first["metadata"]["uid"]), "a mirror of its own")
        await node.until(lambda: node.phase("api-n1") == "Running")
    async with node.running():  # a kubelet that is started anew finds it
        await node.until(lambda: node.kubelet.workers)
        await node.until(lambda: node.ready("api-n1"))
        assert len(started()) == 1
        node.api.reactors.append(lambda request: ServiceUnavailable("no more"))
        manifest.unlink()
        await node.until(lambda: not node.kubelet.workers, "an end without an API server")
        node.api.reactors.clear()
        await node.until(lambda: node.api.get(PODS, "api-n1", "default") is None)
        assert node.runtime.sandboxes == {}
    await node.client.close()


def _uid(node):
    pod = node.api.get(PODS, "api-n1", "default")
    return pod and pod["metadata"]["uid"]
