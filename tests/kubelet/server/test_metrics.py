"""What is counted of a node's pods when somebody scrapes."""

from pods import pod

from tiphys.kubelet.server.metrics import NodeMetrics


def made(name, phase="Running", source="", ephemeral=0):
    found = pod()
    found["metadata"] = {**found["metadata"], "name": name}
    if source:
        found["metadata"]["annotations"] = {"kubernetes.io/config.source": source}
    found["spec"] = {**found["spec"], "ephemeralContainers": [{"name": str(n)} for n in range(ephemeral)]}
    return {**found, "status": {"phase": phase}}


def test_pods_by_where_they_come_from():
    pods = [
        made("a"), made("b", "Failed"), made("c", "Succeeded", ephemeral=1),
        made("d", "Pending", ephemeral=2),
        made("e", source="file"), made("f", "Failed", source="file"), made("g", source="api"),
    ]  # fmt: skip
    node = NodeMetrics("n", lambda: pods, list, {})
    found = {
        (one.name.removeprefix("kubelet_"), one.labels.get("static")): one.value
        for family in node.collect()
        for one in family.samples
    }
    assert found == {
        ("desired_pods", ""): 5, ("desired_pods", "true"): 2,
        ("active_pods", ""): 3, ("active_pods", "true"): 1,
        ("mirror_pods", None): 2, ("managed_ephemeral_containers", None): 3,
        ("node_name", None): 1, ("running_pods", None): 0,
    }  # fmt: skip
