"""Manifests of the node's own pods."""

import json
from types import SimpleNamespace

import pytest

from tiphys.apimachinery.clock import FakeClock, parse_time
from tiphys.apimachinery.errors import Forbidden
from tiphys.client.fake_api import FakeApi
from tiphys.client.inprocess import InProcessTransport
from tiphys.client.kinds import NODES, PODS
from tiphys.client.rest import Client
from tiphys.kubelet.pod_events import PodRecorder
from tiphys.kubelet.static_pods import HASH, MIRROR, SEEN, SOURCE, StaticPods, owned, static_pod

MANIFEST = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "etcd"}, "spec": {"containers": []}}


def test_mirror():
    made = static_pod(MANIFEST, "n1")
    assert (made["metadata"]["name"], made["metadata"]["namespace"]) == ("etcd-n1", "default")
    assert made["spec"]["nodeName"] == "n1"
    notes = made["metadata"]["annotations"]
    assert notes[SOURCE] == "file"
    assert notes[HASH] == notes[MIRROR]
    assert MANIFEST["metadata"] == {"name": "etcd"}
    assert (
        static_pod({**MANIFEST, "spec": {"containers": [{}]}}, "n1")["metadata"]["annotations"][HASH]
        != notes[HASH]
    )


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
    ],
)
def test_refused(manifest, text):
    with pytest.raises(ValueError, match=text):
        static_pod(manifest, "n1")


def test_what_is_null_is_filled():
    meta = {"name": "x", "annotations": None}
    pod = static_pod({"kind": "Pod", "metadata": meta, "spec": {"tolerations": None, "containers": []}}, "n1")
    assert pod["metadata"]["annotations"].keys() == {SOURCE, HASH, MIRROR}
    assert pod["spec"]["tolerations"] == [{"operator": "Exists", "effect": "NoExecute"}]


class Node:
    """A folder of manifests, the API, and the mirrors that the node's kubelet knows."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.api = FakeApi()
        self.api.put(NODES, {"metadata": {"name": "n1", "uid": "node"}})
        self.client = Client(InProcessTransport(self.api.handler))
        self.options = SimpleNamespace(node_name="n1")
        self.workers = {}
        self._static = StaticPods(self, folder, self.client, FakeClock())

    def write(self, name, **spec):
        pod = {**MANIFEST, "metadata": {"name": name}, "spec": {"containers": [], **spec}}
        (self.folder / f"{name}.yaml").write_text(json.dumps(pod))

    async def scan(self):
        """Look once; return the pods in the API, which the kubelet knows from then on."""
        await self._static._sync(self._static._read())
        pods = {pod["metadata"]["name"]: pod for pod in self.api.all(PODS)}
        self.workers = {name: SimpleNamespace(pod=pod) for name, pod in pods.items()}
        return pods


@pytest.fixture
async def node(tmp_path):
    made = Node(tmp_path / "manifests")
    yield made
    await made.client.close()


async def test_mirrors_follow_the_folder(node):
    assert await node.scan() == {}
    node.write("a")
    node.write("b")
    (node.folder / ".hidden.yaml").write_text("{}")
    (node.folder / "README.md").write_text("words")
    first = await node.scan()
    assert sorted(first) == ["a-n1", "b-n1"]
    assert first["a-n1"]["metadata"]["ownerReferences"][0]["uid"] == "node"
    assert parse_time(first["a-n1"]["metadata"]["annotations"][SEEN]) == FakeClock().now()
    calls = len(node.api.writes())
    assert await node.scan() == first
    assert len(node.api.writes()) == calls, "nothing to do"
    node.write("a", priority=1)
    (node.folder / "b.yaml").unlink()
    after = await node.scan()
    assert sorted(after) == [], "gone, and made anew when the next look finds it gone"
    after = await node.scan()
    assert [after[name]["spec"]["priority"] for name in after] == [1]
    assert after["a-n1"]["metadata"]["uid"] != first["a-n1"]["metadata"]["uid"]


async def test_one_that_is_going_is_left_to_go(node):
    node.write("a")
    await node.scan()
    (node.folder / "a.yaml").unlink()
    node.workers["a-n1"].pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    calls = len(node.api.writes())
    await node._static._sync({})
    assert len(node.api.writes()) == calls


async def test_one_that_somebody_else_removed_does_not_hold_up_the_rest(node):
    node.write("a")
    await node.scan()
    node.api.remove(PODS, "a-n1", "default")
    node.write("a", priority=1)
    node.write("b")
    assert sorted(await node.scan()) == ["b-n1"]


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
    assert sorted(await node.scan()) == ["b-n1"]
    assert "static pod not made pod=default/a-n1" in caplog.text
    node.api.reactors.clear()
    assert sorted(await node.scan()) == ["a-n1", "b-n1"]


def test_a_mirror_is_its_nodes():
    pod = static_pod(MANIFEST, "n1")
    found = owned(pod, {"metadata": {"name": "n1", "uid": "u"}})
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u", "controller": True}
    assert found["metadata"]["ownerReferences"] == [owner]
    assert "ownerReferences" not in pod["metadata"]


def test_events_of_a_mirror_are_found_by_its_manifest():
    told = []
    recorder = PodRecorder(
        SimpleNamespace(record=lambda pod, *words, **more: told.append((pod, words, more)))
    )
    plain = {"metadata": {"name": "p", "uid": "u"}}
    mirror = {"metadata": {"name": "m", "uid": "u", "annotations": {MIRROR: "hash"}}}
    for pod in (plain, mirror):
        recorder.record(pod, "Normal", "Started", "Container started", field_path="spec.containers{c}")
    assert [pod["metadata"]["uid"] for pod, _, _ in told] == ["u", "hash"]
    assert mirror["metadata"]["uid"] == "u"
    assert told[1][1:] == (("Normal", "Started", "Container started"), {"field_path": "spec.containers{c}"})
