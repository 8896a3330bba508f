"""Which Secrets of tokens nobody uses any more: those are marked invalid first, and removed later. Pure.

Only Secrets that their account names were made by the cluster itself; others were made by hand and stay.
Source: KEP-2799.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from datetime import datetime, timedelta

from tiphys.apimachinery.clock import parse_time
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.apis.core import pod_references

TRACKING = "kube-apiserver-legacy-service-account-token-tracking"
"""The ConfigMap that says since when the API server writes down that tokens are used."""
LAST_USED = "kubernetes.io/legacy-token-last-used"
INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since"
TYPE = "kubernetes.io/service-account-token"
_ACCOUNT = "kubernetes.io/service-account.name"
_ACCOUNT_UID = "kubernetes.io/service-account.uid"
_DATE = "%Y-%m-%d"


class NotTracked(ValueError):
    """It is not known since when use is written down."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with the Secrets that are too old."""

    mark: tuple[Object, ...] = ()
    delete: tuple[Object, ...] = ()


def is_tracked_for(tracking: Object, period: timedelta, now: datetime) -> bool:
    """Tell whether use was written down for as long as a token may lie unused. Raises NotTracked."""
    since = (tracking.get("data") or {}).get("since")
    if since is None:
        raise NotTracked("configMap does not have since label")
    begun = _date(since)
    if begun is None:
        raise NotTracked(f"error parsing trackedSince time: {since}")
    return now >= begun.replace(tzinfo=now.tzinfo) + timedelta(days=1) + period


def plan(
    secrets: Iterable[Object],
    accounts: Mapping[str, Object],
    pods: Iterable[Object],
    period: timedelta,
    now: datetime,
) -> Plan:
    """Decide about all Secrets; ``accounts`` by ``namespace/name``."""
    before = now - period
    unused = [
        secret
        for secret in secrets
        if _may_go(secret, before) and _names(_account_of(secret, accounts), secret["metadata"]["name"])
    ]
    if not unused:
        return Plan()
    mounted = _mounted(pods, {secret["metadata"]["namespace"] for secret in unused})
    mark, delete = [], []
    for secret in unused:
        meta = secret["metadata"]
        if (meta["namespace"], meta["name"]) in mounted:
            continue
        invalid_since = (meta.get("labels") or {}).get(INVALID_SINCE) or ""
        if _date(invalid_since) is None:
            mark.append(secret)
        elif invalid_since < before.strftime(_DATE):
            delete.append(secret)
    return Plan(tuple(mark), tuple(delete))


def _may_go(secret: Object, before: datetime) -> bool:
    """Tell whether a Secret holds a token that was made, and last used, before a moment."""
    meta = secret["metadata"]
    if secret.get("type") != TYPE or meta.get("deletionTimestamp"):
        return False
    if parse_time(meta["creationTimestamp"]) >= before:
        return False
    last_used = (meta.get("labels") or {}).get(LAST_USED)
    if last_used is None:
        return True  # not once since use is written down
    return _date(last_used) is not None and last_used < before.strftime(_DATE)


def _account_of(secret: Object, accounts: Mapping[str, Object]) -> Object | None:
    meta = secret["metadata"]
    marks = meta.get("annotations") or {}
    account = accounts.get(f"{meta['namespace']}/{marks.get(_ACCOUNT, '')}")
    if account is None or marks.get(_ACCOUNT_UID, "") not in ("", account["metadata"]["uid"]):
        return None
    return account


def _names(account: Object | None, secret: str) -> bool:
    return account is not None and any(one.get("name") == secret for one in account.get("secrets") or ())


def _mounted(pods: Iterable[Object], namespaces: Set[str]) -> set[tuple[str, str]]:
    return {
        (pod["metadata"]["namespace"], name)
        for pod in pods
        if pod["metadata"]["namespace"] in namespaces
        for resource, name in pod_references.references(pod)
        if resource == "secrets"
    }


def _date(text: str) -> datetime | None:
    """Read a day as labels have it; other forms of a date are none."""
    try:
        found = datetime.strptime(text, _DATE)
    except ValueError:
        return None
    return found if found.strftime(_DATE) == text else None
