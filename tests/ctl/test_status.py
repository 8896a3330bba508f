"""Status, as people read it."""

from __future__ import annotations

from tiphys.ctl.status import render

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
