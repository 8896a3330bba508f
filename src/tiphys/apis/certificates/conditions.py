"""Conditions of CertificateSigningRequests: which stay as they were, and since when they are."""

from __future__ import annotations

from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each


def keep_conditions(new: Object, old: Object, *types: str) -> None:
    """Give conditions of these types the words that they had, where there are as many as before."""
    status = new.get("status")
    if not isinstance(status, dict):
        return
    before = list(each(old, "status", "conditions"))
    kept: list[Object] = list(each(status, "conditions"))
    for kind in types:
        places = [place for place, condition in enumerate(kept) if condition.get("type") == kind]
        earlier = [condition for condition in before if condition.get("type") == kind]
        if len(places) == len(earlier):
            for place, condition in zip(places, earlier, strict=True):
                kept[place] = condition
    if kept:
        status["conditions"] = kept


def stamp_conditions(new: Object, old: Object, now: str) -> None:
    """Say since when conditions are as they are, and when they were written, where nobody has.

    They are replaced, not changed. Of several that are alike it was the first that began.
    """
    status = new.get("status")
    if not isinstance(status, dict) or not status.get("conditions"):
        return
    before = {
        (condition.get("type"), condition.get("status")): condition["lastTransitionTime"]
        for condition in reversed(list(each(old, "status", "conditions")))
        if condition.get("lastTransitionTime")
    }
    stamped: list[Object] = []
    for condition in each(status, "conditions"):
        about = condition.get("type"), condition.get("status")
        since = condition.get("lastTransitionTime") or before.get(about, now)
        written = condition.get("lastUpdateTime") or now
        stamped.append({**condition, "lastUpdateTime": written, "lastTransitionTime": since})
    status["conditions"] = stamped
