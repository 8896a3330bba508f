"""Events through both of their groups: made, found, counted, replaced, deleted; times to the microsecond."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from typed import MERGE, STRATEGIC, Object, Typed

WHEN = "2017-09-19T13:49:16.000000Z"
LABELS = {"testevent-constant": "true"}


def test_an_event_of_the_core(api: Any, namespace: str) -> None:
    events = Typed(api, "v1", "events", namespace)
    involved = {"namespace": namespace, "kind": "Pod", "name": "test-pod"}
    made = events.create({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "event-test", "labels": LABELS},
        "message": "This is a test event", "reason": "Test", "type": "Normal", "involvedObject": involved,
        "source": {"component": "test"},
    })  # fmt: skip
    found = events.within("").list(labelSelector="testevent-constant=true")["items"]
    assert made["metadata"]["uid"] in [one["metadata"]["uid"] for one in found]
    patched = events.patch("event-test", {"message": "This is a test event - patched"}, STRATEGIC)
    assert events.get("event-test")["message"] == patched["message"] == "This is a test event - patched"
    body = events.get("event-test")
    body["series"] = {"count": 100, "lastObservedTime": WHEN}
    updated = events.update(body)
    assert updated["series"] == {"count": 100, "lastObservedTime": WHEN}
    assert events.get("event-test") == updated
    events.delete("event-test")
    assert events.gone("event-test")
    assert events.list(labelSelector="testevent-constant=true")["items"] == []


def _event(name: str, **more: Any) -> Object:
    return {
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": name, "labels": LABELS},
        "eventTime": WHEN, "note": "This is event-test", "action": "Do", "reason": "Test", "type": "Normal",
        "reportingController": "test-controller", "reportingInstance": "test-node", **more,
    }  # fmt: skip


def test_an_event_of_its_own_group(api: Any, namespace: str) -> None:
    """The other group shows the same object, and fields select by what it is about."""
    events = Typed(api, "events.k8s.io/v1", "events", namespace)
    old = Typed(api, "v1", "events", namespace)
    about = {"kind": "Pod", "name": "p", "namespace": namespace}
    made = events.create(_event("event-test", regarding=about))
    assert events.get("event-test") == made
    assert old.get("event-test")["message"] == "This is event-test"
    for selector in ("reportingController=test-controller", "regarding.kind=Pod,reason=Test"):
        (listed,) = events.list(fieldSelector=selector)["items"]
        assert listed["metadata"]["uid"] == made["metadata"]["uid"]
    series = {"count": 2, "lastObservedTime": WHEN}
    patched = events.patch("event-test", {"series": series}, MERGE)
    assert patched["series"] == series

    def more(live: Object) -> None:
        live["series"] = {"count": 100, "lastObservedTime": "2017-09-19T13:49:16.000001Z"}

    updated = events.changed("event-test", more)
    assert updated["series"]["lastObservedTime"] == "2017-09-19T13:49:16.000001Z"
    assert events.get("event-test") == updated
    events.delete("event-test")
    for number in range(3):
        events.create(_event(f"e{number}", regarding=about))
    assert len(events.within("").list(labelSelector="testevent-constant=true")["items"]) == 3
    events.delete_collection(labelSelector="testevent-constant=true")
    assert events.list(labelSelector="testevent-constant=true")["items"] == []
