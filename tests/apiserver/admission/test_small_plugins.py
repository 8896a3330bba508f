"""Plugins of one rule each: classes of ingresses, taints of new nodes, how far pods keep others away."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tiphys.apimachinery.errors import Forbidden
from tiphys.apiserver.admission import ingress_class
from tiphys.apiserver.admission.anti_affinity import LimitPodHardAntiAffinityTopology
from tiphys.apiserver.admission.ingress_class import DefaultIngressClass
from tiphys.apiserver.admission.taint_nodes import TaintNodesByCondition

_DEFAULT = "ingressclass.kubernetes.io/is-default-class"
OLD, NEW = "2022-01-01T00:00:00Z", "2022-01-01T00:00:01Z"


def a_class(name: str, default: str | None = "true", since: str = OLD) -> dict[str, Any]:
    annotations = {} if default is None else {_DEFAULT: default}
    return {"metadata": {"name": name, "creationTimestamp": since, "annotations": annotations}}


OTHERS = [a_class("n1", "false"), a_class("n2", None), a_class("n3", "")]
INGRESSES: dict[str, tuple[list[Any], dict[str, Any], Any]] = {
    "no default": (OTHERS, {}, None),
    "one default": ([a_class("d"), *OTHERS], {}, "d"),
    "an empty name is a name": ([a_class("d"), *OTHERS], {"ingressClassName": ""}, ""),
    "another name": ([a_class("d"), *OTHERS], {"ingressClassName": "foo"}, "foo"),
    "the annotation of old": ([a_class("d"), *OTHERS], {"annotation": "foo"}, None),
    "two as old": ([a_class("d2"), a_class("d1"), *OTHERS], {}, "d1"),
    "two, an empty name": ([a_class("d1"), a_class("d2"), *OTHERS], {"ingressClassName": ""}, ""),
    "two, one of them newer": ([a_class("d2", since=NEW), a_class("d1"), *OTHERS], {}, "d2"),
}


@pytest.mark.parametrize(("classes", "told", "want"), INGRESSES.values(), ids=INGRESSES)
async def test_ingresses(
    monkeypatch: pytest.MonkeyPatch, classes: list[Any], told: dict[str, Any], want: str | None
) -> None:
    async def find_all(*_args: Any) -> list[Any]:
        return classes

    monkeypatch.setattr(ingress_class, "find_all", find_all)
    old = {"kubernetes.io/ingress.class": told["annotation"]} if "annotation" in told else {}
    spec = {key: value for key, value in told.items() if key == "ingressClassName"}
    ingress = {"metadata": {"name": "i", "annotations": old}, "spec": spec}
    attributes: Any = SimpleNamespace(obj=ingress, call=SimpleNamespace(backend=None))
    for _ in range(2):  # asked again, it changes nothing
        await DefaultIngressClass().admit(attributes)
        assert ingress["spec"].get("ingressClassName") == want


NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("taints", "more"),
    [
        ([], True),
        ([NOT_READY], False),
        ([{**NOT_READY, "value": "x"}], False),
        ([{**NOT_READY, "effect": "NoExecute"}], True),
        ([{"key": "other", "effect": "NoSchedule"}], True),
    ],
)
async def test_new_nodes(taints: list[Any], *, more: bool) -> None:
    node = {"metadata": {"name": "n"}, "spec": {"taints": [dict(one) for one in taints]}}
    attributes: Any = SimpleNamespace(obj=node)
    await TaintNodesByCondition().admit(attributes)
    assert node["spec"] == {"taints": [*taints, NOT_READY] if more else taints}


def terms(*keys: str) -> dict[str, Any]:
    preferred = [{"weight": 5, "podAffinityTerm": {"topologyKey": "az"}}]
    anti = {"preferredDuringSchedulingIgnoredDuringExecution": preferred}
    if keys:
        anti["requiredDuringSchedulingIgnoredDuringExecution"] = [{"topologyKey": key} for key in keys]
    return {"podAntiAffinity": anti}


HOST = "kubernetes.io/hostname"


@pytest.mark.parametrize(
    ("affinity", "refused"),
    [
        (None, ""),
        ({}, ""),
        (terms(), ""),
        (terms(HOST), ""),
        (terms(" zone "), " zone "),
        (terms(HOST, " zone ", HOST), " zone "),
    ],
)
async def test_pods_that_keep_others_away(affinity: Any, refused: str) -> None:
    pod = {"metadata": {"name": "p"}, "spec": {} if affinity is None else {"affinity": affinity}}
    attributes: Any = SimpleNamespace(obj=pod, refuse=Forbidden)
    if not refused:
        await LimitPodHardAntiAffinityTopology().validate(attributes)
        return
    with pytest.raises(Forbidden) as caught:
        await LimitPodHardAntiAffinityTopology().validate(attributes)
    assert caught.value.message == (
        f"affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {refused} but only key {HOST} is "
        "allowed"
    )
