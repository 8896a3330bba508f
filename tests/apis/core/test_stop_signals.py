"""Which signals stop the containers of a pod, by its operating system."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apis.core.test_pod_validation import C, faults, make

PATH = f"{C}.lifecycle.stopSignal"


def stopped_by(signal: str, **pod: Any) -> dict[str, Any]:
    return make(pod, lifecycle={"stopSignal": signal})


LINUX, WINDOWS = {"name": "linux"}, {"name": "windows"}
CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no system": (
        stopped_by("SIGTERM"),
        [f"{PATH}: Forbidden: may not be set for containers with empty `spec.os.name`"],
    ),
    "linux": (stopped_by("SIGRTMAX-14", os=LINUX), []),
    "windows": (stopped_by("SIGKILL", os=WINDOWS), []),
    "what windows has not": (
        stopped_by("SIGHUP", os=WINDOWS),
        [f'{PATH}: Unsupported value: "SIGHUP": supported values: "SIGKILL", "SIGTERM"'],
    ),
}


@pytest.mark.parametrize(("pod", "expected"), CASES.values(), ids=CASES)
def test_signals(pod: dict[str, Any], expected: list[str]) -> None:
    assert faults(pod) == expected


def test_signals_are_told_in_order() -> None:
    [fault] = faults(stopped_by("TERM", os=LINUX))
    known = fault.partition("supported values: ")[2].split(", ")
    assert len(known) == 65
    assert known == sorted(known)
    assert known[-3:] == ['"SIGWINCH"', '"SIGXCPU"', '"SIGXFSZ"']
