"""Why an object of any other kind is not as it should be: what holds it, what its status and events say."""

from __future__ import annotations

import re

from tiphys.apimachinery.meta import Object
from tiphys.ctl.why.deletion import deletion_findings
from tiphys.ctl.why.scene import (
    Finding,
    Scene,
    condition_text,
    conditions_of,
    one_line,
    section,
    where,
)

_WANTED = (
    "Accepted", "AbleToScale", "Approved", "Available", "Established", "Healthy", "NamesAccepted",
    "Programmed", "Ready", "Reconciled", "ResolvedRefs", "ScalingActive", "Synced", "Valid",
)  # fmt: skip
"""Conditions that should be True, of Kubernetes' own kinds and of many others."""
_UNWANTED = re.compile("Fail|Error|Degraded|Stalled|Denied|NonStructural")
"""Conditions that should not."""
_MOST_EVENTS = 3


def other_findings(obj: Object, resource: str, scene: Scene) -> list[Finding]:
    """Explain an object of which nothing is known but what all have in common."""
    describe = f"kubectl describe {resource} {obj['metadata']['name']}{where(obj)}"
    found = deletion_findings(obj, resource, scene)
    if section(obj, "spec").get("suspend") is True:
        found.append(Finding("It is suspended: nothing is done for it.", ("spec.suspend: true",)))
    found += _conditions(obj, describe)
    return found + _warnings(obj, scene, describe)


def _conditions(obj: Object, describe: str) -> list[Finding]:
    found = []
    for condition in conditions_of(obj):
        type_, true = condition["type"], condition.get("status") == "True"
        if (type_ in _WANTED and not true) or (true and _UNWANTED.search(type_)):
            text = one_line(condition.get("message") or condition.get("reason") or "").rstrip(".")
            cause = f"{'It says ' if true else 'It is not '}{type_}{f': {text}' if text else ''}."
            found.append(Finding(cause, (condition_text(condition),), describe))
    return found


def _warnings(obj: Object, scene: Scene, describe: str) -> list[Finding]:
    """The newest warning of each reason, unless a condition says the same."""
    told = [condition.get("message", "").rstrip(".") for condition in conditions_of(obj)]
    found: dict[str, Finding] = {}
    for event in scene.events_of(obj):
        text = one_line(event.get("message", "")).rstrip(".")
        if event.get("type") == "Warning" and event.get("reason") not in found and text not in told:
            shown = scene.told({**event, "message": ""}).rstrip(": ")
            found[event["reason"]] = Finding(f"{event['reason']}: {text}.", (shown,), describe)
    return list(found.values())[:_MOST_EVENTS]
