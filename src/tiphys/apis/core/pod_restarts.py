"""Whether a container that ended starts again, by its own rules, its own policy or its pod's."""

from __future__ import annotations

from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each, peek


def restarts_all(spec: Object) -> bool:
    """Whether the end of one container may start all of the pod's again."""
    return any(
        rule.get("action") == "RestartAllContainers"
        for kind in ("initContainers", "containers")
        for container in each(spec, kind)
        for rule in each(container, "restartPolicyRules")
    )


def starts_again(container: Object, spec: Object, code: int) -> bool:
    """Whether a container that ended with ``code`` is started again."""
    own = container.get("restartPolicy")
    if own is not None and _action(container, code) == "Restart":
        return True
    policy = own or spec.get("restartPolicy")
    return policy == "Always" or (policy == "OnFailure" and code != 0)


def _action(container: Object, code: int) -> str:
    """What the first of its rules that fits says."""
    for rule in each(container, "restartPolicyRules"):
        codes = peek(rule, "exitCodes")
        listed, operator = code in (codes.get("values") or ()), codes.get("operator")
        if operator in ("In", "NotIn") and listed is (operator == "In"):
            return str(rule.get("action") or "")
    return ""
