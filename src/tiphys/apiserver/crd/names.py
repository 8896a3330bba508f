"""Which of its names a definition gets, and the conditions that say so. Pure; called by the controller.

Source: naming and establishing of CustomResourceDefinitions; reasons and messages are the API's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.apimachinery.meta import Object
from tiphys.apis.apiextensions.definition_rules import approval, authority_faults, is_protected
from tiphys.apis.defaulting import peek
from tiphys.apiserver.crd.rows import condition, is_true

_CONFORMS = "KubernetesAPIApprovalPolicyConformant"


def set_condition(crd: Object, type_: str, status: str, reason: str, message: str, *, now: str) -> None:
    """Set a condition; its time moves only when its status does."""
    conditions = crd["status"].setdefault("conditions", [])
    new: Object = {
        "type": type_,
        "status": status,
        "lastTransitionTime": now,
        "reason": reason,
        "message": message,
    }
    for index, old in enumerate(conditions):
        if old.get("type") == type_:  # anybody may write conditions, without a type too
            if old.get("status") == status:
                new["lastTransitionTime"] = old.get("lastTransitionTime", now)
            conditions[index] = new
            return
    conditions.append(new)


def settle(
    crd: Object, others: Iterable[Object], now: str, *, tracks: bool = False, establishes: bool = True
) -> None:
    """Bring a definition's accepted names and conditions one step on, in place.

    A definition whose names are accepted is installing first, and established once that was seen, if it is
    time for that (``establishes``).
    ``others`` are the other definitions of its group. Where it ``tracks``, conditions tell the generation
    that they speak of.
    """
    before = (condition(crd, "NamesAccepted").get("status"), peek(crd, "status", "acceptedNames"))
    accepted, conflict = _accept(crd, _taken([*others, crd]))
    status = crd.setdefault("status", {})
    status["acceptedNames"] = accepted
    if conflict is None:
        set_condition(crd, "NamesAccepted", "True", "NoConflicts", "no conflicts found", now=now)
        if not is_true(crd, "Established"):
            seen = establishes and before == ("True", accepted)
            set_condition(crd, "Established", *(_established(crd) if seen else _INSTALLING), now=now)
    else:
        set_condition(crd, "NamesAccepted", "False", *conflict, now=now)
        if not condition(crd, "Established"):
            text = "not all names are accepted"
            set_condition(crd, "Established", "False", "NotAccepted", text, now=now)
    _approve(crd, now)
    track(crd, tracks=tracks)


def track(crd: Object, *, tracks: bool) -> None:
    """Let conditions tell the generation that they speak of, or nothing of it, in place."""
    for one in crd["status"]["conditions"]:
        if tracks:
            one["observedGeneration"] = crd["metadata"].get("generation", 0)
        else:
            one.pop("observedGeneration", None)


_INSTALLING = ("False", "Installing", "the initial names have been accepted")


def _established(crd: Object) -> tuple[str, str, str]:
    """Return whether a definition whose names are accepted is served, and why."""
    if authority_faults(peek(crd, "spec", "conversion"), ""):
        return "False", "InvalidCABundle", "The conversion webhook CABundle is invalid"
    return "True", "InitialNamesAccepted", "the initial names have been accepted"


def _taken(others: Iterable[Object]) -> dict[str, set[str]]:
    taken: dict[str, set[str]] = {"resource": set(), "kind": set()}
    for other in others:
        names = (other.get("status") or {}).get("acceptedNames") or {}
        taken["resource"].update(name for name in (names.get("plural"), names.get("singular")) if name)
        taken["resource"].update(names.get("shortNames") or ())
        taken["kind"].update(name for name in (names.get("kind"), names.get("listKind")) if name)
    return taken


def _accept(crd: Object, taken: dict[str, set[str]]) -> tuple[Object, tuple[str, str] | None]:
    """Return the names that the definition has now and the first conflict."""
    wanted = crd["spec"]["names"]
    before = (crd.get("status") or {}).get("acceptedNames") or {}
    accepted: Object = {"plural": before.get("plural", ""), "kind": before.get("kind", "")}
    accepted |= {key: before[key] for key in ("singular", "listKind", "shortNames") if before.get(key)}
    conflict: tuple[str, str] | None = None
    for key, space, reason in (
        ("plural", "resource", "PluralConflict"),
        ("singular", "resource", "SingularConflict"),
        ("shortNames", "resource", "ShortNamesConflict"),
        ("kind", "kind", "KindConflict"),
        ("listKind", "kind", "ListKindConflict"),
    ):
        value: Any = wanted.get(key)
        own = set(_listed(before.get(key)))
        clashes = [name for name in _listed(value) if name in taken[space] - own]
        if clashes:
            shown = ", ".join(f'"{name}" is already in use' for name in clashes)
            conflict = (reason, f"[{shown}]" if len(clashes) > 1 else shown)
        elif value:
            accepted[key] = value
        else:
            accepted.pop(key, None)
    if wanted.get("categories"):
        accepted["categories"] = list(wanted["categories"])
    return accepted, conflict


def _listed(value: Any) -> list[str]:
    if isinstance(value, list):
        return value
    return [value] if value else []


def _approve(crd: Object, now: str) -> None:
    """Say whether a definition in a protected group was approved."""
    if is_protected(crd["spec"]["group"]):
        state, why = approval(crd)
        status = "True" if state == "Approved" else "False"
        set_condition(crd, _CONFORMS, status, f"{state}Annotation", why, now=now)
