"""What becomes of the APIServices of a server's own APIs."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apiserver.aggregation.objects import AUTOMANAGED, next_step


def service(label: str = "", priority: int = 1) -> dict[str, Any]:
    labels = {"labels": {AUTOMANAGED: label}} if label else {}
    return {"metadata": {"name": "v1.a", **labels}, "spec": {"versionPriority": priority}}


ONCE, ALWAYS, OWN, CHANGED = service("onstart"), service("true"), service(), 7
STEPS: dict[str, tuple[Any, Any, bool, bool, str]] = {
    "neither there nor wanted": (None, None, False, False, ""),
    "made at the start": (None, ONCE, False, False, "create"),
    "made at the start, and taken away since": (None, ONCE, False, True, ""),
    "made whenever it is missing": (None, ALWAYS, False, True, "create"),
    "somebody's own": (OWN, None, True, False, ""),
    "somebody's own in the place of one": (service(priority=CHANGED), ALWAYS, True, False, ""),
    "in order": (ONCE, ONCE, True, False, ""),
    "of an older server": (ONCE, None, True, False, "delete"),
    "put right at the start": (service("onstart", CHANGED), ONCE, True, False, "update"),
    "changed since the start": (service("onstart", CHANGED), ONCE, True, True, ""),
    "came after the start": (service("onstart", CHANGED), ONCE, False, False, ""),
    "came after the start, for nothing": (ONCE, None, False, False, ""),
    "of a definition that went": (ALWAYS, None, False, True, "delete"),
    "of a definition, changed": (service("true", CHANGED), ALWAYS, False, True, "update"),
    "of a definition, wanted once": (service("true", CHANGED), ONCE, False, False, "update"),
    "of a definition, wanted once, and done": (service("true", CHANGED), ONCE, False, True, ""),
    "of the start, wanted always": (service("onstart", CHANGED), ALWAYS, True, False, "update"),
}


@pytest.mark.parametrize("name", STEPS)
def test_next_step(name: str) -> None:
    current, wanted, at_start, done, step = STEPS[name]
    assert next_step(current, wanted, at_start=at_start, done=done) == step
