"""What ``why`` says: every case is a few objects and the answer, word for word, in ``cases/``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tiphys.ctl.layout import CtlError
from tiphys.ctl.why.explain import KINDS, kind_named, split_target, summary
from tiphys.ctl.why.render import as_data, render
from tiphys.ctl.why.scene import Scene

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
CASES = [
    pytest.param(case, id=f"{path.stem}: {case['case']}")
    for path in sorted((Path(__file__).parent / "cases").glob("*.yaml"))
    for case in yaml.load(path.read_text(), yaml.CSafeLoader)
]
PLURALS = {kind.names[0]: kind.gvr.resource for kind in KINDS} | {
    "configmap": "configmaps", "secret": "secrets", "lease": "leases", "storageclass": "storageclasses",
    "persistentvolume": "persistentvolumes", "endpointslice": "endpointslices",
}  # fmt: skip
CLUSTER_WIDE = ("nodes", "storageclasses", "persistentvolumes", "namespaces")


def scene_of(case: dict[str, Any]) -> Scene:
    """Name, namespace and uid are filled in; a list of events and of absent names stand beside."""
    objects: dict[tuple[str, str, str], Any] = {}
    for obj in case.get("objects", ()):
        resource = PLURALS[obj["kind"].lower()]
        meta = obj.setdefault("metadata", {})
        meta.setdefault("name", "web")
        if resource not in CLUSTER_WIDE:
            meta.setdefault("namespace", "shop")
        meta.setdefault("uid", f"{obj['kind']}-{meta['name']}")
        objects[(resource, meta.get("namespace", ""), meta["name"])] = obj
    for ref in case.get("absent", ()):
        resource, namespace, name = ref.split("/")
        objects[(resource, namespace, name)] = None
    return Scene(NOW, objects, tuple(case.get("events", ())))


def answer(case: dict[str, Any]) -> str:
    kind, name = split_target((case["ask"],))
    scene = scene_of(case)
    obj = scene.get(kind.gvr.resource, name, "shop" if kind.namespaced else "")
    assert obj is not None
    return render(summary(obj, kind, scene), kind.explain(obj, scene))


@pytest.mark.parametrize("case", CASES)
def test_says(case: dict[str, Any]) -> None:
    said = answer(case)
    assert said == case["says"]


def test_only_what_is_wrong_with_this_one() -> None:
    """An event about another pod of the same name, now gone, is not taken for evidence."""
    pod = {"kind": "Pod", "metadata": {"name": "web", "uid": "new"}}
    old = {"involvedObject": {"kind": "Pod", "name": "web", "uid": "old"}, "reason": "Failed"}
    assert Scene(NOW, events=(old,)).events_of(pod) == []


@pytest.mark.parametrize(
    "word", ["po", "Pod", "pods", "deploy", "deployments.apps", "svc", "PVC", "no", "sts"]
)
def test_kinds_as_kubectl_takes_them(word: str) -> None:
    assert kind_named(word).names


@pytest.mark.parametrize("words", [("web",), ("pod/",), ("pod", "a", "b"), ("pod/a/b",), ("gateway/x",)])
def test_what_cannot_be_asked(words: tuple[str, ...]) -> None:
    with pytest.raises(CtlError, match=r"say what to explain|cannot explain"):
        split_target(words)


def test_for_programs() -> None:
    case = yaml.safe_load((Path(__file__).parent / "cases" / "scheduling.yaml").read_text())[0]
    kind, name = split_target((case["ask"],))
    scene = scene_of(case)
    data = as_data("x", kind.explain(scene.get("pods", name, "shop") or {}, scene), ("secrets (no)",))
    assert data["findings"][0]["cause"].startswith("No node fits")
    assert data["findings"][0]["table"][1] == ["NODES", "REASON", "WHAT HELPS"]
    assert data["notLookedAt"] == ["secrets (no)"]


def test_unread_is_named() -> None:
    assert "not looked at: secrets (no)" in render("pod web", [], ("secrets (no)",))
