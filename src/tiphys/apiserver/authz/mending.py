"""What default roles and bindings get back at a start, and what new ones take over from others.

Pure. What users added stays; what they took away comes back, unless the object's annotation
``rbac.authorization.kubernetes.io/autoupdate`` is ``false``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tiphys.apimachinery.meta import Object, copy_object
from tiphys.apiserver.authz.rules import rules_of, uncovered

AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
_AGGREGATED = {f"system:aggregate-to-{name}": name for name in ("admin", "edit", "view")}
"""Roles that hold the rules of other roles, which these held themselves before aggregation."""
_SPLIT = {"system:public-info-viewer": "system:discovery"}
"""Bindings that were part of other bindings."""
_MAPS = ("annotations", "labels")


def grown_out_of(policy: Iterable[Object]) -> Iterator[tuple[Object, str]]:
    """Yield the objects that were part of others in earlier versions, each with the other's name."""
    for obj in policy:
        sources = {"ClusterRole": _AGGREGATED, "ClusterRoleBinding": _SPLIT}.get(obj["kind"], {})
        if source := sources.get(obj["metadata"]["name"]):
            yield obj, source


def mended(live: Object, wanted: Object) -> Object | None:
    """Return the role or binding as it is to be stored; None when nothing is missing.

    A binding to another role than the default one comes back whole: its ``uid`` is not the live one's.
    """
    if (live["metadata"].get("annotations") or {}).get(AUTOUPDATE) == "false":
        return None
    if wanted.get("roleRef") != live.get("roleRef"):
        whole: Object = copy_object(wanted)
        return whole
    if _lacks_nothing(live, wanted):
        return None
    changed: Object = copy_object(live)
    meta = changed["metadata"]
    for key in _MAPS:
        if merged := {**(wanted["metadata"].get(key) or {}), **(meta.get(key) or {})}:
            meta[key] = merged
    if "roleRef" in wanted:
        _add(
            changed,
            "subjects",
            [one for one in wanted.get("subjects") or () if one not in (live.get("subjects") or ())],
        )
    else:
        missing = uncovered(rules_of(live), rules_of(wanted))
        _add(changed, "rules", [rule.to_object() for rule in missing])
        _mend_aggregation(changed, wanted)
    return changed if changed != live else None


def _lacks_nothing(live: Object, wanted: Object) -> bool:
    """Tell at a glance of an object that is as it was made, as nearly all are at a start."""
    lists = ("rules", "subjects", "aggregationRule")
    if any(live.get(key) != wanted.get(key) for key in lists):
        return False
    has, wants = live["metadata"], wanted["metadata"]
    return all((wants.get(key) or {}).keys() <= (has.get(key) or {}).keys() for key in _MAPS)


def _add(obj: Object, key: str, items: list[Object]) -> None:
    if items:
        obj[key] = [*(obj.get(key) or ()), *items]


def _mend_aggregation(changed: Object, wanted: Object) -> None:
    rule = wanted.get("aggregationRule")
    if rule is None:
        changed.pop("aggregationRule", None)
        return
    have = (changed.get("aggregationRule") or {}).get("clusterRoleSelectors") or []
    missing = [one for one in rule["clusterRoleSelectors"] if one not in have]
    if missing:
        changed["aggregationRule"] = {"clusterRoleSelectors": [*have, *missing]}


def inherited(wanted: Object, origin: Object) -> Object | None:
    """Return what a new default object takes over from the one that it was part of; None for nothing."""
    found: Object = copy_object(wanted)
    meta = found["metadata"]
    for key in ("labels", "annotations"):
        meta[key] = dict(origin["metadata"].get(key) or {})
    if "roleRef" in wanted:
        found["subjects"] = copy_object(origin).get("subjects") or []
        return found
    if origin.get("aggregationRule") is not None:
        return None
    found["rules"] = copy_object(origin).get("rules") or []
    return found
