"""Since when devices are tainted: the server says it where nobody else does."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.every_version]

Object = dict[str, Any]
SLICES = "/apis/resource.k8s.io/v1/resourceslices"
RULES = "/apis/resource.k8s.io/v1beta2/devicetaintrules"
GIVEN = "2020-01-01T00:00:00Z"


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


def devices(*taints: Object) -> Object:
    spec = {"driver": "d.example.com", "pool": {"name": "p", "resourceSliceCount": 1}, "nodeName": "n"}
    return {"metadata": {"name": "x"}, "spec": {**spec, "devices": [{"name": "d", "taints": list(taints)}]}}


def taint(effect: str = "NoSchedule", **fields: str) -> Object:
    return {"key": "k", "effect": effect, **fields}


async def test_devices_of_a_slice(api: Any) -> None:
    made = await api.create(SLICES, devices(taint(), taint(timeAdded=GIVEN)))
    now = made["metadata"]["creationTimestamp"]
    found = [one["timeAdded"] for one in made["spec"]["devices"][0]["taints"]]
    assert found == [now, GIVEN]
    assert (await api.put(f"{SLICES}/x", made))["metadata"]["generation"] == 1
    older = await api.get("/apis/resource.k8s.io/v1beta1/resourceslices/x")
    del older["spec"]["devices"][0]["basic"]["taints"][1]["timeAdded"]
    changed = await api.put("/apis/resource.k8s.io/v1beta1/resourceslices/x", older)
    assert [one["timeAdded"] for one in changed["spec"]["devices"][0]["basic"]["taints"]] == [now, now]
    assert changed["metadata"]["generation"] == 2


WRITTEN: dict[str, tuple[Object, Object, bool]] = {
    "nothing": (taint(timeAdded=GIVEN), taint(timeAdded=GIVEN), False),
    "another effect": (taint(timeAdded=GIVEN), taint("NoExecute", timeAdded=GIVEN), True),
    "another effect, and since when": (
        taint(timeAdded=GIVEN), taint("NoExecute", timeAdded="2021-01-01T00:00:00Z"), False
    ),
    "another value": (taint(timeAdded=GIVEN), taint(timeAdded=GIVEN, value="v"), False),
    "no time": (taint(timeAdded=GIVEN), taint(), True),
}  # fmt: skip


@pytest.mark.parametrize(("first", "then", "is_now"), WRITTEN.values(), ids=WRITTEN)
async def test_a_rule_whose_taint_is_written_anew(
    api: Any, first: Object, then: Object, is_now: bool
) -> None:
    made = await api.create(RULES, {"metadata": {"name": "x"}, "spec": {"taint": first}})
    assert made["spec"]["taint"] == first
    now = made["metadata"]["creationTimestamp"]
    found = await api.put(f"{RULES}/x", {**made, "spec": {"taint": then}})
    assert found["spec"]["taint"] == ({**then, "timeAdded": now} if is_now else then)
    assert found["metadata"]["generation"] == (1 if then == first else 2)
