"""Pods that need what not every kubelet can."""

from __future__ import annotations

from typing import Any

import pytest
from scheduler_builders import columns, info, node

from tiphys.scheduler.framework import decide
from tiphys.scheduler.plugins.declared import needed_features
from tiphys.scheduler.profile import default_profile

ALL = "RestartAllContainersOnContainerExits"


def container(action: str | None) -> dict[str, Any]:
    rules = [{"action": action, "exitCodes": {"operator": "In", "values": [42]}}] if action else []
    return {"name": "c", "restartPolicy": "Never", "restartPolicyRules": rules}


@pytest.mark.parametrize(
    ("spec", "needed"),
    [
        pytest.param({"containers": [container(None)]}, (), id="no rules"),
        pytest.param({"containers": [container("Restart")]}, (), id="its own restart"),
        pytest.param({"containers": [container("RestartAllContainers")]}, (ALL,), id="everybody's restart"),
        pytest.param(
            {"containers": [container(None)], "initContainers": [container("RestartAllContainers")]},
            (ALL,),
            id="by one that comes first",
        ),
    ],
)
def test_what_a_pod_needs(spec: dict[str, Any], needed: tuple[str, ...]) -> None:
    assert needed_features(spec) == needed


@pytest.mark.parametrize(
    ("nodes", "chosen"),
    [
        pytest.param({"old": [], "new": [ALL]}, "new", id="one says that it can"),
        pytest.param({"old": ["Another"]}, "", id="none can"),
        pytest.param({"new": ["Another", ALL]}, "new", id="among others"),
    ],
)
def test_it_goes_where_it_can_run(nodes: dict[str, list[str]], chosen: str) -> None:
    world = columns(*(node(name, declared=declared) for name, declared in nodes.items()))
    asking = info(containers=[container("RestartAllContainers")])
    decision = decide(asking, world, default_profile())
    assert decision.node == chosen
    if not chosen:
        text = f"node declared features check failed - unsatisfied requirements: {ALL}"
        assert decision.message() == f"0/1 nodes are available: 1 {text}."
        assert decision.plugins == ("NodeDeclaredFeatures",)
        assert decision.resolvable() is None, "taking pods away does not help"


def test_a_pod_without_such_needs_goes_anywhere() -> None:
    assert decide(info(), columns(node("old")), default_profile()).node == "old"


def test_a_kubelet_that_learns_something_is_seen() -> None:
    world = columns(node("a"))
    before = world.static_generation
    world.set_node(node("a", declared=[ALL]))
    assert world.static_generation > before
