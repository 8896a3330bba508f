"""The time of the change that made a write necessary."""

from tiphys.controllers.endpointslice.trigger import TRIGGER_TIME, TriggerTimes, marked

SERVICE = {"metadata": {"name": "s", "namespace": "default", "creationTimestamp": "2026-01-01T00:00:00Z"}}


def pod(name, at):
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": f"2026-01-01T00:{at:02}:00Z"}
    return {"metadata": {"name": name}, "status": {"conditions": [ready] if at else []}}


def test_first_the_service_then_whatever_is_new():
    times = TriggerTimes()
    assert times.observe(SERVICE, [pod("a", 3)]) == "2026-01-01T00:00:00Z"
    assert times.observe(SERVICE, [pod("a", 3)]) == ""
    assert times.observe(SERVICE, [pod("a", 3), pod("b", 0)]) == ""
    assert times.observe(SERVICE, [pod("a", 7), pod("b", 5)]) == "2026-01-01T00:05:00Z"
    assert times.observe(SERVICE, [pod("b", 5)]) == "", "a pod that goes has no time"
    assert times.observe(SERVICE, [pod("a", 7), pod("b", 5)]) == "2026-01-01T00:07:00Z", "it is back"
    times.forget("default/s")
    assert times.observe(SERVICE, []) == "2026-01-01T00:00:00Z"


def test_the_mark_is_put_on_and_taken_off():
    assert marked({"name": "x"}, "t") == {"name": "x", "annotations": {TRIGGER_TIME: "t"}}
    assert marked({"name": "x", "annotations": {TRIGGER_TIME: "t"}}, "") == {"name": "x"}
    assert marked({"annotations": {TRIGGER_TIME: "t", "a": "b"}}, "u") == {
        "annotations": {"a": "b", TRIGGER_TIME: "u"}
    }
