"""Rows of events, of either group."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apis.printers.test_registry import NOW, T0

from tiphys.apimachinery.meta import GVK
from tiphys.apis.printers import table_for

EVENTS: dict[str, tuple[str, dict[str, Any], list[Any]]] = {
    "core": (
        "",
        {
            "type": "Normal",
            "reason": "Pulled",
            "message": " hello\n",
            "count": 3,
            "firstTimestamp": T0,
            "lastTimestamp": "2026-01-01T00:59:55Z",
            "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{c}"},
            "source": {"component": "kubelet", "host": "n"},
        },
        ["5s", "Normal", "Pulled", "pod/p", "spec.containers{c}", "kubelet, n", "hello", "60m", 3, "x"],
    ),
    "newer": (
        "events.k8s.io",
        {
            "type": "Warning",
            "reason": "R",
            "note": "n",
            "eventTime": "2026-01-01T00:00:00.000000Z",
            "regarding": {"kind": "Node"},
            "reportingController": "c",
            "reportingInstance": "",
            "series": {"count": 9, "lastObservedTime": "2026-01-01T00:59:50.000000Z"},
        },
        ["10s", "Warning", "R", "node", "", "c", "n", "60m", 9, "x"],
    ),
}


@pytest.mark.parametrize(("group", "event", "cells"), EVENTS.values(), ids=EVENTS)
def test_events(group: str, event: dict[str, Any], cells: list[Any]) -> None:
    row = table_for(GVK(group, "v1", "Event")).row({"metadata": {"name": "x"}, **event}, NOW)
    assert row == cells
