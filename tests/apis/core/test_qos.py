"""Quality of service classes."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apis.core.qos import pod_qos


def pod(*resources: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"resources": item} for item in resources], **spec}}


FULL = {"cpu": "1", "memory": "1Gi"}
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": (pod({}), "BestEffort"),
    "zero": (pod({"requests": {"cpu": "0"}}), "BestEffort"),
    "other resources": (pod({"limits": {"example.com/gpu": "1"}}), "BestEffort"),
    "same": (pod({"requests": FULL, "limits": FULL}), "Guaranteed"),
    "same, spelled otherwise": (
        pod({"requests": {"cpu": "1000m", "memory": "1024Mi"}, "limits": FULL}),
        "Guaranteed",
    ),
    "requests": (pod({"requests": FULL}), "Burstable"),
    "only cpu": (pod({"requests": {"cpu": "1"}, "limits": {"cpu": "1"}}), "Burstable"),
    "one of two": (pod({"requests": FULL, "limits": FULL}, {}), "Burstable"),
    "less asked": (pod({"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": FULL}), "Burstable"),
    "init counts": (
        pod({"requests": FULL, "limits": FULL}, initContainers=[{"resources": {}}]),
        "Burstable",
    ),
    "whole pod": (pod({}, resources={"requests": FULL, "limits": FULL}), "Guaranteed"),
}


@pytest.mark.parametrize(("obj", "expected"), CASES.values(), ids=CASES)
def test_class(obj: dict[str, Any], expected: str) -> None:
    assert pod_qos(obj) == expected
