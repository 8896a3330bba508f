"""Values as upstream's server has them inside, and what a fault tells of their difference."""

from __future__ import annotations

import difflib
import json
from typing import Any

import pytest

from tiphys.apimachinery.field_errors import render
from tiphys.apis import inside as module
from tiphys.apis.inside import difference, immutable_inside, inside, inside_all

SHAPES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "what is not set is shown": ("Toleration", {"key": "a"}, {
        "Key": "a", "Operator": "", "Value": "", "Effect": "", "TolerationSeconds": None,
    }),
    "names of the wire": ("HostAlias", {"ip": "::1"}, {"IP": "::1", "Hostnames": None}),
    "empty lists and maps are none": (
        "ResourceRequirements",
        {"limits": {}, "requests": {"cpu": "1"}, "claims": []},
        {"Limits": None, "Requests": {"cpu": "1"}, "Claims": None},
    ),
    "values inside values": (
        "EnvVar",
        {"name": "a", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        {
            "Name": "a",
            "Value": "",
            "ValueFrom": {
                "FieldRef": None,
                "ResourceFieldRef": {"ContainerName": "", "Resource": "limits.cpu", "Divisor": "0"},
                "ConfigMapKeyRef": None,
                "SecretKeyRef": None,
                "FileKeyRef": None,
            },
        },
    ),
    "selectors keep their names": (
        "PodAffinityTerm",
        {"topologyKey": "k", "labelSelector": {"matchLabels": {"a": "b"}}},
        {
            "LabelSelector": {"matchLabels": {"a": "b"}},
            "Namespaces": None,
            "TopologyKey": "k",
            "NamespaceSelector": None,
            "MatchLabelKeys": None,
            "MismatchLabelKeys": None,
        },
    ),
    "names that are not the wire's": (
        "FC",
        {"wwids": ["a"], "targetWWNs": ["b"], "lun": 0},
        {"TargetWWNs": ["b"], "Lun": 0, "FSType": "", "ReadOnly": False, "WWIDs": ["a"]},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("type_", "value", "shape"), SHAPES.values(), ids=SHAPES)
def test_shapes(type_: str, value: dict[str, Any], shape: dict[str, Any]) -> None:
    found = inside(type_, value)
    assert json.dumps(found) == json.dumps(shape)


def test_what_a_pod_shares_with_its_host_is_in_its_security_context() -> None:
    context = inside("PodSpec", {"hostNetwork": True, "hostUsers": False})["SecurityContext"]
    assert (context["HostNetwork"], context["HostUsers"], context["RunAsUser"]) == (True, False, None)


def test_metadata_of_a_template_stands_beside_its_spec() -> None:
    shape = inside("PodTemplateSpec", {"metadata": {"labels": {"a": "b"}, "name": ""}, "spec": {}})
    assert list(shape) == ["labels", "Spec"]


def test_where_a_volume_is_stands_in_its_spec() -> None:
    shape = inside("PersistentVolumeSpec", {"nfs": {"server": "s", "path": "/"}})
    assert shape["NFS"] == {"Server": "s", "Path": "/", "ReadOnly": False}
    assert list(shape)[:2] == ["Capacity", "GCEPersistentDisk"]


def test_lists() -> None:
    assert inside_all("Named", None) is None
    assert render(inside_all("Named", [{"name": "a"}])) == '[{"Name":"a"}]'


def test_difference_has_three_lines_around_and_escapes_as_the_server_does() -> None:
    old = {"name": "e", "image": "a<b>&"}
    assert difference("Container", old, {**old, "image": "c"}) == (
        '@@ -1,6 +1,6 @@\n {\n  "Name": "e",\n- "Image": "a\\u003cb\\u003e\\u0026",\n+ "Image": "c",\n'
        '  "Command": null,\n  "Args": null,\n  "WorkingDir": "",\n'
    )


def test_difference_of_lists_and_of_nothing() -> None:
    assert difference("Named", [{"name": "a"}], [{"name": "b"}]) == (
        '@@ -1,5 +1,5 @@\n [\n  {\n-  "Name": "a"\n+  "Name": "b"\n  }\n ]\n'
    )
    assert difference("Named", {"name": "a"}, {"name": "a"}) == ""


def test_immutable() -> None:
    assert immutable_inside("spec", "Named", {}, None) == []
    found = immutable_inside("spec", "Named", {"name": "b"}, {"name": "a"})
    assert [str(fault) for fault in found] == ['spec: Invalid value: {"Name":"b"}: field is immutable']
    assert "null" in str(immutable_inside("spec", "Named", None, {"name": "a"})[0])


def test_a_null_is_no_change() -> None:
    with_null = {"rules": [{"action": "Ignore", "onExitCodes": None, "onPodConditions": []}]}
    without = {"rules": [{"action": "Ignore", "onPodConditions": []}]}
    assert immutable_inside("spec", "PodFailurePolicy", with_null, without) == []


def _many(images: list[str]) -> list[dict[str, Any]]:
    return [{"name": f"c{at}", "image": image} for at, image in enumerate(images)]


@pytest.mark.parametrize("at", [0, 60, 119])
def test_difference_of_long_values_is_told_as_of_short_ones(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    old, new = ["a"] * 120, ["a"] * 120
    new[at] = "b"
    monkeypatch.setattr(module, "_COMPARED", 0)
    long = difference("Container", _many(old), _many(new))
    monkeypatch.setattr(module, "_COMPARED", 10**6)
    assert long == difference("Container", _many(old), _many(new))


def test_difference_of_long_values_compares_no_line_with_all_others(monkeypatch: pytest.MonkeyPatch) -> None:

    def compared(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(difflib, "unified_diff", compared)
    old, new = _many(["a"] * 400), _many(["b"] * 400)
    told = difference("Container", old, new)
    assert told.count('\n-  "Image": "a",') == told.count('\n+  "Image": "b",') == 400
    assert difference("Container", old, old) == ""
