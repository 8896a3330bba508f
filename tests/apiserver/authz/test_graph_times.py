"""Which changes of the node authorizer's graph are counted."""

from __future__ import annotations

from typing import Any


def operations(api: Any) -> dict[str, float]:
    return {
        sample.labels["operation"]: sample.value
        for family in api.server._graph_times.collect()
        for sample in family.samples
        if sample.name == "node_authorizer_graph_actions_duration_seconds_count"
    }


async def test_what_is_counted(api: Any, make_pod: Any) -> None:
    pods, volumes = "/api/v1/namespaces/default/pods", "/api/v1/persistentvolumes"
    await api.create(pods, make_pod("waits"))
    await api.create(pods, make_pod("runs", nodeName="n1"))
    await api.settle()
    assert operations(api) == {"AddPod": 1}, "one without a node is nowhere"
    binding = {"metadata": {"name": "waits"}, "target": {"kind": "Node", "name": "n1"}}
    await api.create(f"{pods}/waits/binding", binding)
    found = await api.get(f"{pods}/runs")
    found["metadata"]["labels"] = {"a": "b"}
    await api("PUT", f"{pods}/runs", found)
    await api.settle()
    assert operations(api) == {"AddPod": 2}, "what has its node stays where it is"
    await api("DELETE", f"{pods}/runs?gracePeriodSeconds=0")
    spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}
    await api.create(volumes, {"metadata": {"name": "v"}, "spec": spec})
    await api.settle()
    assert operations(api) == {"AddPod": 2, "DeletePod": 1, "AddPV": 1}
    attached = {"attacher": "a", "nodeName": "n1", "source": {"persistentVolumeName": "v"}}
    attachments = "/apis/storage.k8s.io/v1/volumeattachments"
    await api.create(attachments, {"metadata": {"name": "a"}, "spec": attached})
    await api("DELETE", f"{attachments}/a")
    await api.settle()
    assert operations(api) == {
        "AddPod": 2, "DeletePod": 1, "AddPV": 1, "AddVolumeAttachment": 1, "DeleteVolumeAttachment": 1
    }  # fmt: skip
