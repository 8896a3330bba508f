"""Events through both of their groups: made, found, counted, replaced, deleted; times to the microsecond."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from typed import STRATEGIC, Object, Refused, Typed

WHEN = "2017-09-19T13:49:16.000000Z"
LABELS = {"testevent-constant": "true"}


def _without_marks(event: Object) -> Object:
    """What upstream compares: no version, no managers."""
    dropped = ("resourceVersion", "managedFields")
    meta = {key: value for key, value in event["metadata"].items() if key not in dropped}
    return {**event, "metadata": meta}


def _here(events: Typed) -> list[str]:
    """Events of the namespace that a list of all namespaces shows."""
    found = events.within("").list(labelSelector="testevent-constant=true")["items"]
    return [one["metadata"]["name"] for one in found if one["metadata"]["namespace"] == events.namespace]


def test_an_event_of_the_core(api: Any, namespace: str) -> None:
    """It is about nothing but its namespace; the update has no version."""
    events = Typed(api, "v1", "events", namespace)
    events.create({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "event-test", "labels": LABELS},
        "message": "This is a test event", "reason": "Test", "type": "Normal", "count": 1,
        "involvedObject": {"namespace": namespace},
    })  # fmt: skip
    assert _here(events) == ["event-test"]
    made = events.get("event-test")
    events.patch("event-test", {"message": "This is a test event - patched"}, STRATEGIC)
    wanted = _without_marks(made) | {"message": "This is a test event - patched"}
    assert _without_marks(events.get("event-test")) == wanted
    wanted["series"] = {"count": 100, "lastObservedTime": WHEN}
    events.update(wanted)
    assert _without_marks(events.get("event-test")) == wanted
    events.delete("event-test")
    assert events.gone("event-test")
    assert _here(events) == []


def _event(name: str, **more: Any) -> Object:
    return {
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": name, "labels": LABELS},
        "eventTime": WHEN, "note": "This is event-test", "action": "Do", "reason": "Test", "type": "Normal",
        "reportingController": "test-controller", "reportingInstance": "test-node", **more,
    }  # fmt: skip


def test_an_event_of_its_own_group(api: Any, namespace: str) -> None:
    """The other group shows the same object, and finds who reported it as its source."""
    events = Typed(api, "events.k8s.io/v1", "events", namespace)
    old = Typed(api, "v1", "events", namespace)
    about = {"kind": "Pod", "name": "p", "namespace": namespace}
    events.create(_event("event-test", regarding=about))
    assert _here(events) == ["event-test"]
    assert [one["metadata"]["name"] for one in events.list()["items"]] == ["event-test"]
    for client, selector in (
        (old, "source=test-controller"),
        (events, "reportingController=test-controller"),
        (events, "regarding.kind=Pod,reason=Test"),
    ):
        (listed,) = client.list(fieldSelector=selector)["items"]
        assert listed["metadata"]["name"] == "event-test"
    assert old.get("event-test")["message"] == "This is event-test"
    wanted = _without_marks(events.get("event-test"))
    wanted["series"] = {"count": 2, "lastObservedTime": "2017-09-19T13:49:11.000000Z"}
    events.patch("event-test", {"series": wanted["series"]}, STRATEGIC)
    assert _without_marks(events.get("event-test")) == wanted
    with pytest.raises(Refused, match="field is immutable"):
        events.patch("event-test", {"note": "another"}, STRATEGIC)
    wanted["series"] = {"count": 100, "lastObservedTime": WHEN}
    events.update(wanted)
    assert _without_marks(events.get("event-test")) == wanted

    def later(live: Object) -> None:
        live["series"]["lastObservedTime"] = "2017-09-19T13:49:16.000001Z"

    updated = events.changed("event-test", later)
    assert updated["series"]["lastObservedTime"] == "2017-09-19T13:49:16.000001Z"
    events.delete("event-test")
    assert _here(events) == []
    assert events.list()["items"] == []
