"""Empty lists that mean something."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.meta import GVK
from tiphys.apis import empties

HPA, POD = GVK("autoscaling", "v2", "HorizontalPodAutoscaler"), GVK("", "v1", "Pod")
UP, DOWN = (("spec", "behavior", direction, "policies") for direction in ("scaleUp", "scaleDown"))
MANAGERS = ("metadata", "managedFields")
SLICE, DEPLOYMENT = GVK("resource.k8s.io", "v1", "ResourceSlice"), GVK("apps", "v1", "Deployment")
CLAIMS = ("spec", "resources", "claims")
DEVICES, COUNTERS = ("spec", "devices"), ("spec", "sharedCounters")


def behavior(**rules: Any) -> dict[str, Any]:
    return {"spec": {"behavior": {key: {"policies": value} for key, value in rules.items()}}}


CASES: dict[str, tuple[GVK, Any, list[tuple[str, ...]]]] = {
    "nothing": (HPA, {}, []),
    "not yet decoded": (HPA, {"metadata": [], "spec": {"behavior": 1}}, []),
    "no managers": (POD, {"metadata": {"managedFields": []}}, [MANAGERS]),
    "managers": (POD, {"metadata": {"managedFields": [{}]}}, []),
    "no policies": (HPA, behavior(scaleUp=[], scaleDown=[]), [UP, DOWN]),
    "policies, and null": (HPA, behavior(scaleUp=[{}], scaleDown=None), []),
    "another kind": (POD, behavior(scaleUp=[]), []),
    "a pod's claims": (POD, {"spec": {"resources": {"claims": []}}}, [CLAIMS]),
    "those of a template": (
        DEPLOYMENT,
        {"spec": {"template": {"spec": {"resources": {"claims": []}}}}},
        [("spec", "template", *CLAIMS)],
    ),
    "a slice of nothing": (SLICE, {"spec": {"devices": []}}, []),
    "counters and no devices": (SLICE, {"spec": {"devices": [], "sharedCounters": [{}]}}, [DEVICES]),
    "a slice of neither": (SLICE, {"spec": {"devices": [], "sharedCounters": []}}, [DEVICES, COUNTERS]),
}


@pytest.mark.parametrize(("gvk", "obj", "expected"), CASES.values(), ids=CASES)
def test_found(gvk: GVK, obj: Any, expected: list[tuple[str, ...]]) -> None:
    assert empties.found(obj, gvk) == expected


def test_put_back() -> None:
    shared: dict[str, Any] = {"behavior": {"scaleUp": {"selectPolicy": "Max"}}}
    obj: dict[str, Any] = {"spec": shared}
    empties.put_back(obj, [MANAGERS, UP, DOWN])
    assert obj == {
        "metadata": {"managedFields": []},
        "spec": {
            "behavior": {"scaleUp": {"selectPolicy": "Max", "policies": []}, "scaleDown": {"policies": []}}
        },
    }
    assert shared == {"behavior": {"scaleUp": {"selectPolicy": "Max"}}}
