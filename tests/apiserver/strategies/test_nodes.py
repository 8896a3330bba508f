"""What creating and changing a Node keeps, resets and warns of: the tables of upstream's strategy."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")

NODES = "/api/v1/nodes"
Body = dict[str, Any]
SOURCE = {"configMap": {"namespace": "a", "name": "b", "kubeletConfigKey": "c"}}
TOLD = {"error": "told"}
"""What was once written of and by kubelets that took their configuration from a ConfigMap."""


def node(*, source: bool = False, config: bool = False, **spec: Any) -> Body:
    made: Body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "spec": spec}
    if source:
        spec["configSource"] = SOURCE
    if config:
        made["status"] = {"config": TOLD}
    return made


def configured(found: Body) -> tuple[bool, bool]:
    """Whether a node's spec and its status speak of such a configuration."""
    return "configSource" in found["spec"], "config" in found["status"]


RANGES: dict[str, list[str] | None] = {
    "nothing": None,
    "empty": [],
    "IPv6": ["2000::/10"],
    "IPv4": ["10.0.0.0/8"],
    "IPv4 and IPv6": ["10.0.0.0/8", "2000::/10"],
    "IPv6 and IPv4": ["2000::/10", "10.0.0.0/8"],
}


@pytest.mark.parametrize("ranges", RANGES.values(), ids=RANGES)
async def test_ranges_of_pods(api: Any, ranges: list[str] | None) -> None:
    made = await api.create(NODES, node(podCIDRs=ranges))
    made["spec"].pop("taints")
    assert made["spec"] == ({"podCIDR": ranges[0], "podCIDRs": ranges} if ranges else {})


@pytest.mark.parametrize("source", [False, True])
@pytest.mark.parametrize("config", [False, True])
async def test_a_new_node_is_not_configured_from_elsewhere(api: Any, *, source: bool, config: bool) -> None:
    made = await api.create(NODES, node(source=source, config=config))
    assert configured(made) == (False, False)


@pytest.mark.parametrize("source", [False, True])
@pytest.mark.parametrize("config", [False, True])
async def test_a_node_keeps_that_it_was(api: Any, left_behind: Any, *, source: bool, config: bool) -> None:
    made = await api.create(NODES, node())
    made["spec"] |= {"configSource": SOURCE} if source else {}
    made["status"] |= {"config": TOLD} if config else {}
    old = await left_behind(NODES, made)
    assert configured(old) == (source, config)
    whole = {**old, **node(source=True), "status": {**old["status"], "config": TOLD}}
    assert configured(await api.put(f"{NODES}/n", whole)) == (source, config)
    assert configured(await api.put(f"{NODES}/n/status", whole)) == (source, config)


HUGE: dict[str, tuple[Body, Body]] = {
    "from none": ({"hugepages-2Mi": "0"}, {"hugepages-2Mi": "2Gi"}),
    "from some": ({"hugepages-2Mi": "1Gi"}, {"hugepages-2Mi": "2Gi"}),
}


@pytest.mark.parametrize(("before", "after"), HUGE.values(), ids=HUGE)
async def test_pages_of_several_sizes_may_change(api: Any, before: Body, after: Body) -> None:
    also = {"hugepages-1Gi": "2Gi", "cpu": "100", "memory": "10Gi"}
    made = await api.create(NODES, {**node(), "status": {"capacity": before | also}})
    assert made["status"]["allocatable"] == made["status"]["capacity"] == before | also
    made["status"] |= {"capacity": after | also, "allocatable": after | also}
    assert (await api.put(f"{NODES}/n/status", made))["status"]["capacity"] == after | also


OLD: dict[str, tuple[Body, str]] = {
    "nothing": ({}, ""),
    "a source": ({"configSource": SOURCE}, "spec.configSource: the feature is removed"),
    "an id": (
        {"externalID": "x"},
        "spec.externalID: this field is deprecated, and is unused by Kubernetes",
    ),
}


@pytest.mark.parametrize(("spec", "text"), OLD.values(), ids=OLD)
async def test_of_old_fields_whoever_writes_them_is_told(
    api: Any, left_behind: Any, told: Any, spec: Body, text: str
) -> None:
    expected = [text] if text else []
    made = await api("POST", NODES, node(**spec))
    # What a new node does not keep is not spoken of.
    assert told(made) == ([] if "configSource" in spec else expected)
    old = await left_behind(NODES, {**made.json, "spec": spec})
    assert told(await api("PUT", f"{NODES}/n", {**old, "metadata": {"name": "n"}})) == expected
    assert told(await api("PUT", f"{NODES}/n", node())) == []
