"""The success policy of a Job: enough once some indexes succeeded. Pure. Source: batch/v1 SuccessPolicy."""

from __future__ import annotations

from tiphys.apimachinery.meta import Object
from tiphys.controllers.job import indexes


def matched_rule(job: Object, done: set[int]) -> int | None:
    """Return which rule the succeeded indexes fulfil, if any."""
    for number, rule in enumerate((job["spec"].get("successPolicy") or {}).get("rules") or ()):
        if _fulfilled(rule, done):
            return number
    return None


def _fulfilled(rule: Object, done: set[int]) -> bool:
    count = rule.get("succeededCount")
    if rule.get("succeededIndexes") is None:
        return count is not None and len(done) >= count
    wanted = indexes.parse(rule["succeededIndexes"])
    return len(done & wanted) >= (len(wanted) if count is None else count)
