"""Which event a change of something other than nodes and pods is to the queue."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.meta import GVR
from tiphys.client.kinds import (
    CSI_DRIVERS,
    CSI_STORAGE_CAPACITIES,
    DEVICE_CLASSES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    REPLICA_SETS,
    RESOURCE_CLAIMS,
    RESOURCE_SLICES,
    SERVICES,
    STORAGE_CLASSES,
    VOLUME_ATTACHMENTS,
)
from tiphys.scheduler.columns import Columns
from tiphys.scheduler.hints import Change
from tiphys.scheduler.queue import HELPS
from tiphys.scheduler.surroundings import Surroundings

PLAIN: dict[str, Any] = {
    "kind": "ReplicaSet", "metadata": {"name": "x", "namespace": "ns", "uid": "u"}, "spec": {},
    "storageClassName": "fast",
}  # fmt: skip
CASES: dict[str, tuple[GVR, list[str], list[str]]] = {
    "claim": (PERSISTENT_VOLUME_CLAIMS, ["claims", "volume"], ["claims", "volume"]),
    "volume": (PERSISTENT_VOLUMES, ["volume"], ["volume"]),
    "class": (STORAGE_CLASSES, ["volume"], ["volume"]),
    "driver": (CSI_DRIVERS, ["volume"], ["volume"]),
    "capacity that is gone helps nobody": (CSI_STORAGE_CAPACITIES, ["volume"], []),
    "only an attachment that is gone helps": (VOLUME_ATTACHMENTS, [], ["volume"]),
    "claim for devices": (RESOURCE_CLAIMS, ["claims", "device"], ["claims", "device"]),
    "devices": (RESOURCE_SLICES, ["device"], ["device"]),
    "class of devices": (DEVICE_CLASSES, ["device-class"], ["device-class"]),
    "service": (SERVICES, [], []),
    "controller": (REPLICA_SETS, [], []),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_is_told(case: tuple[GVR, list[str], list[str]]) -> None:
    resource, on_add, on_delete = case
    told: list[str] = []
    surroundings = Surroundings(
        Columns(), lambda change: told.append(change.event), lambda: told.append("claims")
    )
    handler = dict(surroundings.handlers())[resource]
    handler(None, PLAIN)
    assert told == on_add
    told.clear()
    handler(PLAIN, None)
    assert told == on_delete
    assert set(told) - {"claims"} <= HELPS.keys()


@pytest.mark.parametrize("resource", [PERSISTENT_VOLUMES, CSI_STORAGE_CAPACITIES, RESOURCE_CLAIMS])
def test_what_changed_is_told_with_it(resource: GVR) -> None:
    told: list[Change] = []
    handler = dict(Surroundings(Columns(), told.append, lambda: None).handlers())[resource]
    other = {**PLAIN, "spec": {"changed": True}}
    handler(PLAIN, other)
    assert [(one.old, one.new, one.resource) for one in told] == [(PLAIN, other, resource.resource)]


def test_the_columns_know_of_it() -> None:
    columns = Columns()
    handlers = dict(Surroundings(columns, lambda _: None, lambda: None).handlers())
    for resource, found in (
        (PERSISTENT_VOLUME_CLAIMS, lambda: columns.volumes.claims.get("ns/x")),
        (DEVICE_CLASSES, lambda: columns.devices.classes.get("x")),
        (RESOURCE_CLAIMS, lambda: columns.devices.claim("ns/x")),
    ):
        handlers[resource](None, PLAIN)
        assert found() == PLAIN
        handlers[resource](PLAIN, None)
        assert found() is None
