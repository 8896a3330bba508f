"""Which tokens in Secrets are marked, removed, or left alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tiphys.apimachinery.clock import rfc3339
from tiphys.controllers.legacytokens.plan import (
    INVALID_SINCE,
    LAST_USED,
    NotTracked,
    Plan,
    is_tracked_for,
    plan,
)

NOW = datetime(2026, 6, 10, 12, tzinfo=UTC)
PERIOD = timedelta(days=10)
ACCOUNTS = {
    "ns/sa": {"metadata": {"name": "sa", "namespace": "ns", "uid": "u1"}, "secrets": [{"name": "s"}]},
    "ns/bare": {"metadata": {"name": "bare", "namespace": "ns", "uid": "u2"}},
}


def secret(*, age_days: float = 100, used: str = "", invalid: str = "", **changes: Any) -> dict[str, Any]:
    labels = {key: value for key, value in ((LAST_USED, used), (INVALID_SINCE, invalid)) if value}
    meta = {
        "name": "s",
        "namespace": "ns",
        "uid": "u3",
        "creationTimestamp": rfc3339(NOW - timedelta(days=age_days)),
        "labels": labels,
        "annotations": {"kubernetes.io/service-account.name": "sa"},
    }
    found = {"metadata": meta, "type": "kubernetes.io/service-account-token"}
    for path, value in changes.items():
        if path == "type":
            found["type"] = value
        else:
            meta[path] = value
    return found


def marks(**values: str) -> dict[str, str]:
    return {f"kubernetes.io/service-account.{name}": value for name, value in values.items()}


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "never used": (secret(), "mark"),
    "used long ago": (secret(used="2026-05-30"), "mark"),
    "used on the last day that counts": (secret(used="2026-05-31"), ""),
    "used today": (secret(used="2026-06-10"), ""),
    "a day that is none": (secret(used="soon"), ""),
    "a day in another form": (secret(used="2026-5-1"), ""),
    "young": (secret(age_days=9.9), ""),
    "just old enough": (secret(age_days=10.1), "mark"),
    "exactly as old": (secret(age_days=10), ""),
    "already going": (secret(deletionTimestamp=rfc3339(NOW)), ""),
    "another type": (secret(type="Opaque"), ""),
    "no account named": (secret(annotations={}), ""),
    "an account that is not there": (secret(annotations=marks(name="other")), ""),
    "an account that does not name it": (secret(annotations=marks(name="bare")), ""),
    "an account of another uid": (secret(annotations=marks(name="sa", uid="u9")), ""),
    "an account of that uid": (secret(annotations=marks(name="sa", uid="u1")), "mark"),
    "marked lately": (secret(invalid="2026-06-01"), ""),
    "marked on the last day that counts": (secret(invalid="2026-05-31"), ""),
    "marked long ago": (secret(invalid="2026-05-30"), "delete"),
    "marked with no day": (secret(invalid="yes"), "mark"),
    "marked long ago and used since": (secret(invalid="2026-05-30", used="2026-06-09"), ""),
}


@pytest.mark.parametrize(("found", "what"), CASES.values(), ids=CASES)
def test_what_becomes_of_one(found: dict[str, Any], what: str) -> None:
    wanted = Plan(**{what: (found,)}) if what else Plan()
    assert plan([found], ACCOUNTS, [], PERIOD, NOW) == wanted


PODS: dict[str, tuple[dict[str, Any], bool]] = {
    "as a volume": ({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}, True),
    "as a part of a volume": (
        {"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "s"}}]}}]}, True
    ),
    "in the environment": (
        {"containers": [{"env": [{"name": "T", "valueFrom": {"secretKeyRef": {"name": "s"}}}]}]}, True
    ),
    "to pull images": ({"imagePullSecrets": [{"name": "s"}]}, True),
    "another one": ({"imagePullSecrets": [{"name": "t"}]}, False),
    "a config map": ({"volumes": [{"name": "v", "configMap": {"name": "s"}}]}, False),
}  # fmt: skip


@pytest.mark.parametrize(("spec", "stays"), PODS.values(), ids=PODS)
def test_pods_that_use_one(spec: dict[str, Any], stays: bool) -> None:
    pod = {"metadata": {"name": "p", "namespace": "ns"}, "spec": spec}
    elsewhere = {"metadata": {"name": "p", "namespace": "other"}, "spec": spec}
    assert (plan([secret()], ACCOUNTS, [pod], PERIOD, NOW) == Plan()) is stays
    assert plan([secret()], ACCOUNTS, [elsewhere], PERIOD, NOW) == Plan(mark=(secret(),))


@pytest.mark.parametrize(
    ("since", "tracked"),
    [("2026-05-29", True), ("2026-05-30", True), ("2026-05-31", False), ("2026-06-10", False)],
)
def test_since_when_use_is_written_down(since: str, tracked: bool) -> None:
    assert is_tracked_for({"data": {"since": since}}, PERIOD, NOW) is tracked


@pytest.mark.parametrize("tracking", [{}, {"data": {}}, {"data": {"since": "soon"}}])
def test_what_does_not_say_so(tracking: dict[str, Any]) -> None:
    with pytest.raises(NotTracked):
        is_tracked_for(tracking, PERIOD, NOW)
