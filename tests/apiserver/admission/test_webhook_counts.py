"""What is counted of webhooks, under upstream's names."""

from __future__ import annotations

from tiphys.apimachinery.families import Registry
from tiphys.apiserver.admission.times import AdmissionTimes

NAME = "apiserver_admission_webhook"


def test_what_happened_is_counted() -> None:
    times = AdmissionTimes()
    hooks = times.hooks
    hooks.answered("a", "admit", "CREATE", 0.01)
    hooks.answered("a", "admit", "CREATE", 3.0)
    hooks.answered("b", "validating", "UPDATE", 0.01, refused_with=403)
    hooks.failed("c", "validating", "DELETE", 10.0, 503, ignored=False)
    hooks.failed("d", "admit", "CREATE", 10.0, 503, ignored=True)
    hooks.broken("e", "admit", "CREATE", 0.1)
    registry = Registry()
    registry.register(times)

    def value(metric: str, **labels: str) -> float | None:
        return registry.sample_value(f"{NAME}_{metric}", labels)

    passed = {"name": "a", "type": "admit", "operation": "CREATE", "rejected": "false"}
    assert value("admission_duration_seconds_count", **passed) == 2
    assert value("admission_duration_seconds_sum", **passed) == 3.01
    assert value("admission_duration_seconds_bucket", le="2.5", **passed) == 1
    assert value("request_total", code="200", **passed) == 2
    refused = {"name": "b", "type": "validating", "operation": "UPDATE"}
    assert value("request_total", code="403", rejected="true", **refused) == 1
    assert value("rejection_count", error_type="no_error", rejection_code="403", **refused) == 1
    failed = {"name": "c", "type": "validating", "operation": "DELETE"}
    assert value("request_total", code="503", rejected="true", **failed) == 1
    assert value("rejection_count", error_type="calling_webhook_error", rejection_code="503", **failed) == 1
    broken = {"name": "e", "type": "admit", "operation": "CREATE"}
    assert value("request_total", code="0", rejected="true", **broken) == 1
    assert value("rejection_count", error_type="apiserver_internal_error", rejection_code="0", **broken) == 1
    assert value("fail_open_count", name="d", type="admit") == 1
    assert value("fail_open_count", name="c", type="validating") is None
