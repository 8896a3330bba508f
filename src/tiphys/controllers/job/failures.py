"""The pod failure policy of a Job: ignore, count, or fail at once. Pure.

Source: batch/v1 PodFailurePolicy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tiphys.apimachinery.meta import Object
from tiphys.controllers import podstate


def action_for(job: Object, pod: Object) -> str:
    """Return Count, Ignore, FailIndex or FailJob: what the first rule that fits a failed pod says."""
    return matched_action(job, pod) or "Count"


def matched_action(job: Object, pod: Object) -> str:
    """Return the action of the first rule that fits a failed pod; empty where none does."""
    rule = _first_rule(job, pod)
    return "" if rule is None else str(rule[1]["action"])


def is_ignored(job: Object, pod: Object) -> bool:
    """True if the policy says that this failure does not count."""
    return action_for(job, pod) == "Ignore"


def policy_verdict(job: Object, pods: Sequence[Object]) -> tuple[str, str] | None:
    """Return reason and message if one pod's failure fails the whole job."""
    for pod in pods:
        if podstate.phase(pod) != "Failed":
            continue
        matched = _first_rule(job, pod)
        if matched is not None and matched[1]["action"] == "FailJob":
            return "PodFailurePolicy", _message(pod, *matched)
    return None


def _first_rule(job: Object, pod: Object) -> tuple[int, Object] | None:
    rules = (job["spec"].get("podFailurePolicy") or {}).get("rules") or ()
    for index, rule in enumerate(rules):
        if _matching_container(rule, pod) is not None or _matching_condition(rule, pod):
            return index, rule
    return None


def _matching_container(rule: Object, pod: Object) -> Object | None:
    wanted = rule.get("onExitCodes")
    if not wanted:
        return None
    for status in _statuses(pod):
        code = ((status.get("state") or {}).get("terminated") or {}).get("exitCode")
        if not code or (wanted.get("containerName") not in (None, status.get("name"))):
            continue
        inside = code in (wanted.get("values") or ())
        if inside == (wanted.get("operator") == "In"):
            return status
    return None


def _matching_condition(rule: Object, pod: Object) -> str:
    """Return the type of the pod's first condition that the rule is about; empty for none."""
    for condition in (pod.get("status") or {}).get("conditions") or ():
        for wanted in rule.get("onPodConditions") or ():
            same = condition.get("type") == wanted["type"]
            if same and condition.get("status") == wanted.get("status", "True"):
                return str(condition["type"])
    return ""


def _message(pod: Object, index: int, rule: Object) -> str:
    who = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
    container = _matching_container(rule, pod)
    if container is None:
        found = _matching_condition(rule, pod)
        return f"Pod {who} has condition {found} matching FailJob rule at index {index}"
    code = container["state"]["terminated"]["exitCode"]
    return (
        f"Container {container['name']} for pod {who} failed with exit code {code} "
        f"matching FailJob rule at index {index}"
    )


def _statuses(pod: Object) -> Iterable[Object]:
    status = pod.get("status") or {}
    yield from status.get("containerStatuses") or ()
    yield from status.get("initContainerStatuses") or ()
