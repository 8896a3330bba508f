"""Status, as people read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiphys.apimachinery.errors import ServiceUnavailable
from tiphys.client.fake_api import FakeApi
from tiphys.client.inprocess import InProcessTransport
from tiphys.client.kinds import NODES
from tiphys.client.rest import Client
from tiphys.client.transport import TransportError
from tiphys.ctl import supervisor
from tiphys.ctl.layout import Cluster
from tiphys.ctl.status import gather, node_states, render

FACTS = {
    "name": "default",
    "running": True,
    "api": "https://127.0.0.1:6443",
    "kubeconfig": "/x/default/kubeconfig",
    "components": [
        {"name": "apiserver", "pid": 12, "restarts": 0, "up_s": 3700.0},
        {"name": "kubelet-node-1", "pid": 0, "restarts": 4, "up_s": 0.0},
    ],
}
GOLDEN = """\
cluster default: running
  API         https://127.0.0.1:6443
  kubeconfig  /x/default/kubeconfig

  NODES
    node-1                       Ready

  PROCESSES                           PID     UP  RESTARTS
    apiserver                          12     1h         0
    kubelet-node-1                      -     0s         4
"""


def test_running() -> None:
    assert render(FACTS, {"node-1": "Ready"}) == GOLDEN


def test_stopped() -> None:
    assert render({**FACTS, "running": False}, {}) == (
        "cluster default: stopped ('tiphys up --name default' brings it back)\n"
    )


def node(name: str, *statuses: str) -> dict[str, object]:
    return {
        "metadata": {"name": name},
        "status": {"conditions": [{"type": "Ready", "status": status} for status in statuses]},
    }


async def test_nodes_and_how_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api = FakeApi()
    for one in (node("a", "True"), node("b", "False"), node("c", "Unknown"), node("d")):
        api.put(NODES, one)
    monkeypatch.setattr(Client, "from_kubeconfig", lambda _: Client(InProcessTransport(api.handler)))
    cluster = Cluster("default", 0, tmp_path)
    want = {"a": "Ready", "b": "NotReady", "c": "Unknown", "d": "Unknown"}
    assert await node_states(cluster) == want
    for error in (ServiceUnavailable("not now"), TransportError("refused")):

        def react(_request: object, error: Exception = error) -> None:
            raise error

        api.reactors[:] = [react]
        assert await node_states(cluster) == {}


@pytest.mark.parametrize("text", [None, "{", "contexts: []"], ids=["none yet", "damaged", "empty"])
async def test_without_a_kubeconfig_nothing_is_known_of_nodes(tmp_path: Path, text: str | None) -> None:
    cluster = Cluster("default", 0, tmp_path)
    if text is not None:
        cluster.kubeconfig.write_text(text)
    assert await node_states(cluster) == {}


@pytest.mark.parametrize("answer", [None, {"components": FACTS["components"]}], ids=["stopped", "running"])
def test_what_the_supervisor_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: dict[str, object] | None
) -> None:
    monkeypatch.setattr(supervisor, "ask", lambda *_: answer)
    assert gather(Cluster("default", 0, tmp_path)) == {
        "name": "default",
        "running": answer is not None,
        "api": "https://127.0.0.1:6443",
        "kubeconfig": str(tmp_path / "kubeconfig"),
        "components": FACTS["components"] if answer else [],
    }
