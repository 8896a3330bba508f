"""How authorization ended, as metrics tell it."""

from __future__ import annotations

import pytest

from tiphys.apiserver.authn.attempts import Attempts
from tiphys.apiserver.authz.attributes import Decision
from tiphys.apiserver.filter_times import FilterTimes


@pytest.mark.parametrize(
    ("decision", "result"),
    [
        (Decision(allowed=True, error="evaluated badly"), "allowed"),
        (Decision(denied=True), "denied"),
        (Decision(denied=True, error="broken"), "error"),
        (Decision(error="broken"), "error"),
        (Decision(), "no-opinion"),
        (None, "error"),
    ],
)
def test_results(decision: Decision | None, result: str) -> None:
    times = FilterTimes(Attempts())
    times.decided(decision, 0.5)
    found = {
        (sample.name, sample.labels["result"]): sample.value
        for family in times.collect()
        for sample in family.samples
        if sample.name.startswith("authorization_") and not sample.name.endswith("_bucket")
    }
    assert found == {
        ("authorization_attempts_total", result): 1,
        ("authorization_duration_seconds_count", result): 1,
        ("authorization_duration_seconds_sum", result): 0.5,
    }
