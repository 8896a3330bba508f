"""Quantiles of what took how long in the last hours."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.apiserver.observe.quantiles import Quantiles

HOUR_S = 3600.0
BOUNDS = (0.5, 1.0, math.inf)


def test_each_is_within_a_hundredth() -> None:
    times, random = Quantiles(BOUNDS, FakeClock().monotonic), Random(1)
    values = sorted(random.lognormvariate(-7, 2) for _ in range(5000))
    for value in random.sample(values, len(values)):
        times.observe(value)
    wanted = [values[math.ceil(part * len(values)) - 1] for part in (0.5, 0.9, 0.99)]
    assert times.quantiles() == pytest.approx(wanted, rel=0.0101)


def test_what_is_old_is_forgotten_but_counted() -> None:
    clock = FakeClock()
    times = Quantiles(BOUNDS, clock.monotonic)
    assert all(map(math.isnan, times.quantiles()))
    times.observe(0.25)
    assert times.quantiles() == pytest.approx([0.25] * 3, rel=0.01)
    clock.advance(2 * HOUR_S)
    for _ in range(3):
        times.observe(2.0)
    assert times.quantiles() == pytest.approx([2.0] * 3, rel=0.01)
    for _ in range(3):
        times.observe(0.25)
    assert times.quantiles() == pytest.approx([0.25, 2.0, 2.0], rel=0.01)
    clock.advance(3.5 * HOUR_S)
    assert times.quantiles() == pytest.approx([0.25, 2.0, 2.0], rel=0.01)
    clock.advance(2 * HOUR_S)
    assert all(map(math.isnan, times.quantiles()))
    assert (times.buckets, times.total_s) == ([4, 0, 3], 7.0)


def test_no_time_at_all() -> None:
    times = Quantiles(BOUNDS, FakeClock().monotonic)
    times.observe(0.0)
    assert times.quantiles() == pytest.approx([0.0] * 3, abs=1e-8)


async def test_the_summary_of_admission(api: Any) -> None:
    await api.create("/api/v1/namespaces/default/configmaps", {"metadata": {"name": "m"}})
    text = (await api("GET", "/metrics")).raw.decode()
    name = "apiserver_admission_step_admission_duration_seconds_summary"
    labels = 'operation="CREATE",rejected="false",type="admit"'
    found = [line.partition(" ")[0] for line in text.splitlines() if line.startswith(name) and labels in line]
    quantiles = [f'{name}{{{labels},quantile="{part}"}}' for part in ("0.5", "0.9", "0.99")]
    assert found == [*quantiles, f"{name}_sum{{{labels}}}", f"{name}_count{{{labels}}}"]
    assert f"# TYPE {name} summary" in text
