"""Rules of a container's own restart policy and of its rules by exit code.

Source: core/v1 ``Container.restartPolicy`` and ``restartPolicyRules``.
"""

from __future__ import annotations

from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.featuregates import on
from tiphys.apimachinery.field_errors import forbidden, not_supported, required, too_many
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each
from tiphys.apis.value_validation import one_of

_POLICIES = ("Always", "Never", "OnFailure")
_RESTART_ALL = "RestartAllContainersOnContainerExits"
_ACTIONS = ("Restart", "RestartAllContainers")
_OPERATORS = ("In", "NotIn")
_MOST_RULES = 20
_MOST_CODES = 255


def restart_faults(container: Object, path: str, *, init: bool = False) -> list[FieldError]:
    """Return every fault of how a container wants to be restarted.

    ``init``: rules of init containers without a policy are not looked at.
    """
    at, rules = f"{path}.restartPolicyRules", list(each(container, "restartPolicyRules"))
    policy = container.get("restartPolicy")
    faults = one_of(policy, f"{path}.restartPolicy", _POLICIES, nullable=True)
    if rules and policy is None:
        text = "must specify restartPolicy when restart rules are used"
        faults.append(required(f"{path}.restartPolicy", text))
        if init:
            return faults
    if init and rules and policy == "Always" and not on(_RESTART_ALL):
        faults.append(forbidden(at, "may not be set for sidecar containers"))
    if len(rules) > _MOST_RULES:
        faults.append(too_many(at, len(rules), _MOST_RULES))
    for index, rule in enumerate(rules):
        faults += _rule(rule, f"{at}[{index}]")
    return faults


def _rule(rule: Object, path: str) -> list[FieldError]:
    faults: list[FieldError] = []
    action, codes = rule.get("action") or "", rule.get("exitCodes")
    known = _ACTIONS if on(_RESTART_ALL) else _ACTIONS[:1]
    if action not in known:
        faults.append(not_supported(f"{path}.action", action, known))
    if not isinstance(codes, dict):
        return [*faults, required(f"{path}.exitCodes", "must be specified")]
    operator, count = codes.get("operator") or "", len(codes.get("values") or ())
    if operator not in _OPERATORS:
        faults.append(not_supported(f"{path}.exitCodes.operator", operator, _OPERATORS))
    if count > _MOST_CODES:
        faults.append(too_many(f"{path}.exitCodes.values", count, _MOST_CODES))
    return faults
