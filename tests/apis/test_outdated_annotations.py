"""Annotations that once were fields, or became fields: dropped, or read as numbers."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.meta import GVK, copy_object
from tiphys.apis.outdated_annotations import ROLLBACK, TEMPLATE_GENERATION, Unconvertible, read_annotations

Body = dict[str, Any]
OUTDATED = {
    "pod.alpha.kubernetes.io/init-containers": "[]",
    "pod.beta.kubernetes.io/init-containers": "[]",
    "pod.alpha.kubernetes.io/init-container-statuses": "[]",
    "pod.beta.kubernetes.io/init-container-statuses": "[]",
}
DAEMONS, DEPLOYMENT = GVK("apps", "v1", "DaemonSet"), GVK("apps", "v1", "Deployment")


def annotated(annotations: Body) -> Body:
    return {"metadata": {"name": "x", "annotations": annotations}}


PLACES: dict[str, tuple[GVK, tuple[str, ...]]] = {
    "pod": (GVK("", "v1", "Pod"), ()),
    "template": (GVK("", "v1", "PodTemplate"), ("template",)),
    "controller": (GVK("", "v1", "ReplicationController"), ("spec", "template")),
    "daemons": (DAEMONS, ("spec", "template")),
    "deployment": (DEPLOYMENT, ("spec", "template")),
    "replica set": (GVK("apps", "v1", "ReplicaSet"), ("spec", "template")),
    "stateful set": (GVK("apps", "v1", "StatefulSet"), ("spec", "template")),
    "job": (GVK("batch", "v1", "Job"), ("spec", "template")),
    "cron job": (GVK("batch", "v1", "CronJob"), ("spec", "jobTemplate", "spec", "template")),
}


def holding(path: tuple[str, ...], annotations: Body) -> Body:
    if not path:
        return annotated(annotations)
    return {path[0]: holding(path[1:], annotations), "kept": {}}


@pytest.mark.parametrize(("gvk", "path"), PLACES.values(), ids=PLACES)
def test_init_containers_are_fields(gvk: GVK, path: tuple[str, ...]) -> None:
    obj = holding(path, {**OUTDATED, "a": "b"})
    shared, before = obj.get(path[0]) if path else obj["metadata"], copy_object(obj)
    read_annotations(obj, gvk)
    assert obj == holding(path, {"a": "b"})
    assert shared == (before[path[0]] if path else before["metadata"]), "it may be another's, too"
    obj = holding(path, dict(OUTDATED))
    read_annotations(obj, gvk)
    *_, last = [obj, *(obj := obj[key] for key in path)]
    assert last["metadata"] == {"name": "x"}


@pytest.mark.parametrize("gvk", [GVK("", "v1", "Node"), GVK("x.y", "v1", "Pod")])
def test_other_kinds_keep_theirs(gvk: GVK) -> None:
    obj = annotated(dict(OUTDATED))
    read_annotations(obj, gvk)
    assert obj == annotated(OUTDATED)


@pytest.mark.parametrize("gvk", [DAEMONS, DEPLOYMENT])
@pytest.mark.parametrize("obj", [{}, {"metadata": {}}, {"metadata": {"name": "x"}, "spec": {"template": {}}}])
def test_none_are_none(gvk: GVK, obj: Body) -> None:
    read = copy_object(obj)
    read_annotations(read, gvk)
    assert read == obj


NUMBERS: dict[str, tuple[str, str | None]] = {
    # what the revision is shown as
    "2": ("2", "2"),
    "signed": ("+05", "5"),
    "negative": ("-3", "-3"),
    "nothing": ("", None),
}


@pytest.mark.parametrize(("given", "shown"), NUMBERS.values(), ids=NUMBERS)
def test_a_revision_to_go_back_to(given: str, shown: str | None) -> None:
    obj = annotated({ROLLBACK: given, "a": "b"})
    read_annotations(obj, DEPLOYMENT)
    assert obj == annotated({"a": "b"} if shown is None else {"a": "b", ROLLBACK: shown})


FAULTS = {
    "x": 'parsing "x": invalid syntax',
    " 5": 'parsing " 5": invalid syntax',
    "9" * 20: f'parsing "{"9" * 20}": value out of range',
}


@pytest.mark.parametrize("text", FAULTS)
def test_what_is_no_number(text: str) -> None:
    fault = f"strconv.ParseInt: {FAULTS[text]}"
    for gvk, key, expected in (
        (DAEMONS, TEMPLATE_GENERATION, fault),
        (DEPLOYMENT, ROLLBACK, f"failed to parse annotation[{ROLLBACK}]={text} as int64: {fault}"),
    ):
        with pytest.raises(Unconvertible) as told:
            read_annotations(annotated({key: text}), gvk)
        assert str(told.value) == expected


def test_no_text_counts_no_templates() -> None:
    with pytest.raises(Unconvertible):
        read_annotations(annotated({TEMPLATE_GENERATION: ""}), DAEMONS)
