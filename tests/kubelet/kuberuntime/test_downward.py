"""What a pod may learn about itself."""

import pytest
from pods import container, pod

from tiphys.kubelet.kuberuntime.downward import (
    DownwardProblem,
    NodeFacts,
    PodAddresses,
    field_value,
    format_map,
    resource_value,
)


def test_format_map():
    assert format_map({"b": "2", "a": 'say "hi"\n'}) == 'a="say \\"hi\\"\\n"\nb="2"'
    assert format_map(None) == ""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("metadata.uid", "uid-1"),
        ("metadata.namespace", "ns"),
        ("metadata.labels", 'a="1"'),
        ("metadata.annotations['x/y']", "z"),
        ("metadata.annotations['none']", ""),
        ("spec.nodeName", "n1"),
        ("status.podIPs", "10.0.0.5,fd00::5"),
        ("status.hostIPs", "192.0.2.1"),
    ],
)
def test_fields(path, expected):
    the_pod = pod(meta={"labels": {"a": "1"}, "annotations": {"x/y": "z"}})
    assert field_value(the_pod, path, PodAddresses(("10.0.0.5", "fd00::5"), ("192.0.2.1",))) == expected


def test_unknown_field():
    with pytest.raises(DownwardProblem):
        field_value(pod(), "spec.secret", PodAddresses())


RESOURCES = {"requests": {"cpu": "250m", "memory": "10Mi"}, "limits": {"cpu": "1500m"}}


@pytest.mark.parametrize(
    ("resource", "divisor", "expected"),
    [
        ("requests.cpu", "1m", "250"),
        ("requests.cpu", None, "1"),
        ("limits.cpu", None, "2"),
        ("limits.cpu", "0", "2"),
        ("requests.memory", "1Mi", "10"),
        ("requests.memory", None, "10485760"),
        ("limits.memory", "1Ki", "1024"),
        ("limits.ephemeral-storage", "1Ki", "2048"),
        ("requests.ephemeral-storage", None, "0"),
    ],
)
def test_resources(resource, divisor, expected):
    spec = container(resources=RESOURCES)
    reference = {"resource": resource, **({"divisor": divisor} if divisor else {})}
    assert resource_value(pod(spec), reference, spec, NodeFacts(4000, 2**20, 2**21)) == expected


def test_resource_of_a_named_container():
    reference = {"containerName": "b", "resource": "limits.cpu"}
    the_pod = pod(container("a"), container("b", resources=RESOURCES))
    assert resource_value(the_pod, reference, None, NodeFacts()) == "2"
    with pytest.raises(DownwardProblem):
        resource_value(the_pod, {**reference, "containerName": "no"}, None, NodeFacts())
