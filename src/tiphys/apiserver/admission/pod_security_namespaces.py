"""PodSecurity of namespaces: labels must mean something, and a stricter level is tried on the pods there are.

Called by the PodSecurity plugin.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

from tiphys.apimachinery.errors import Invalid
from tiphys.apimachinery.meta import Object
from tiphys.apis.podsecurity.evaluate import evaluate, reasons
from tiphys.apis.podsecurity.policy import Policy, Standard, policy_of
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.pod_security_config import PodSecuritySettings

MAX_PODS: Final = 3000
"""How many existing pods a namespace's new level is tried on."""
MAX_S: Final = 1.0
"""For how long."""


async def judge(attributes: Attributes, namespace: Object, settings: PodSecuritySettings) -> None:
    """Refuse labels that mean nothing; warn about pods that a stricter level would not let in.

    Raises Invalid.
    """
    labels = namespace["metadata"].get("labels") or {}
    policy, faults = policy_of(labels, settings.defaults)
    before, old_faults = policy_of(
        (attributes.old or {}).get("metadata", {}).get("labels"), settings.defaults
    )
    if faults and (attributes.old is None or faults != old_faults):
        raise Invalid.of("", "Namespace", attributes.name, faults)
    rises = attributes.old is not None and _rises(policy.enforce, before.enforce)
    if attributes.name in settings.namespaces:
        if (attributes.old is None or rises) and not (policy.open or policy.equivalent(settings.defaults)):
            attributes.call.warn(_exempt(attributes.name, policy, labels))
        return
    if not rises:
        return
    clock = attributes.call.backend.clock
    until = clock.monotonic() + MAX_S
    pods = await attributes.find_all("", "v1", "pods", attributes.name)
    tried = in_turn(pods, settings.runtime_classes)
    for text in existing(attributes.name, policy.enforce, tried, lambda: clock.monotonic() > until):
        attributes.call.warn(text)


def _rises(new: Standard, old: Standard) -> bool:
    if new == old or new.open:
        return False
    return new.minor != old.minor or new.stricter_than(old)


def _exempt(name: str, policy: Policy, labels: Object) -> str:
    said = policy.said(labels)
    return f'namespace "{name}" is exempt from Pod Security, and the policy ({said}) will be ignored'


def in_turn(pods: Sequence[Object], exempt: Collection[str]) -> list[Object]:
    """Return the pods to try, one of each controller before their others, without exempt runtime classes."""
    first: list[Object] = []
    others: list[Object] = []
    seen: set[str] = set()
    for pod in pods:
        if pod["spec"].get("runtimeClassName") in exempt:
            continue
        owners = pod["metadata"].get("ownerReferences") or ()
        owner = next((str(one.get("uid")) for one in owners if one.get("controller")), "")
        (others if owner in seen else first).append(pod)
        if owner:
            seen.add(owner)
    return first + others


def existing(
    namespace: str,
    standard: Standard,
    pods: Sequence[Object],
    expired: Callable[[], bool],
    most: int = MAX_PODS,
) -> list[str]:
    """Return what to say of pods that a standard would not let in."""
    by_reason: dict[str, list[str]] = {}
    tried = 0
    for pod in pods[:most]:
        findings = evaluate(standard, pod["metadata"], pod["spec"])
        if findings:
            by_reason.setdefault(reasons(findings), []).append(pod["metadata"]["name"])
        tried += 1
        if expired():
            break
    warnings = []
    if tried < len(pods):
        warnings.append(
            f"new PodSecurity enforce level only checked against the first {tried} of {len(pods)} "
            "existing pods"
        )
    if by_reason:
        warnings.append(
            f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{standard}"'
        )
    return warnings + sorted(f"{_whose(names)}: {reason}" for reason, names in by_reason.items())


def _whose(names: list[str]) -> str:
    others = len(names) - 1
    if not others:
        return names[0]
    return f"{min(names)} (and {others} other pod{'s' if others > 1 else ''})"
