"""The priority of a pod or of a group of pods comes from its class; a cluster has at most one default."""

from __future__ import annotations

from tiphys.apimachinery.featuregates import on
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.admission.attributes import Attributes

_GROUP = "scheduling.k8s.io"
_PREEMPT = "PreemptLowerPriority"
_GROUP_GATE = "WorkloadAwarePreemption"
"""Pod groups have a priority."""


class Priority:
    """Resolves priorityClassName into priority and preemptionPolicy."""

    NAME = "Priority"
    RESOURCES = frozenset({("", "pods"), (_GROUP, "priorityclasses"), (_GROUP, "podgroups")})
    SUBRESOURCES = frozenset({""})
    ADMITS = VALIDATES = frozenset({"CREATE", "UPDATE"})
    REPEATS = True

    async def admit(self, attributes: Attributes) -> None:
        if attributes.plural == "podgroups":
            if attributes.operation == "CREATE" and attributes.obj is not None and on(_GROUP_GATE):
                spec = attributes.obj["spec"]
                spec["priority"], _ = await _class_of(attributes, spec, "pod group spec")
            return
        if not attributes.core("pods") or attributes.obj is None:
            return
        if attributes.operation == "CREATE":
            await self._resolve(attributes, attributes.obj)
        elif attributes.old is not None:
            spec, before = attributes.obj["spec"], attributes.old["spec"]
            for key in ("priority", "preemptionPolicy"):
                if spec.get(key) is None and before.get(key) is not None:
                    spec[key] = before[key]

    async def _resolve(self, attributes: Attributes, pod: Object) -> None:
        spec = pod["spec"]
        priority, policy = await _class_of(attributes, spec, "pod spec")
        if spec.get("preemptionPolicy") not in (None, policy):
            raise attributes.refuse(
                f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided in "
                f"pod spec; priority admission controller computed {policy} from the given PriorityClass name"
            )
        spec["priority"], spec["preemptionPolicy"] = priority, policy

    async def validate(self, attributes: Attributes) -> None:
        obj = attributes.obj
        if attributes.plural != "priorityclasses" or obj is None or not obj.get("globalDefault"):
            return
        default = await _default_class(attributes)
        if default is None:
            return
        if attributes.operation == "CREATE" or default["metadata"]["name"] != attributes.name:
            raise attributes.refuse(
                f"PriorityClass {default['metadata']['name']} is already marked as default. "
                "Only one default can exist"
            )


async def _class_of(attributes: Attributes, spec: Object, where: str) -> tuple[int, str]:
    """Return the priority and the policy of a spec's class; the default one's name is filled in."""
    name = spec.get("priorityClassName") or ""
    if name:
        found = await attributes.find(_GROUP, "v1", "priorityclasses", name)
        if found is None:
            raise attributes.refuse(f"no PriorityClass with name {name} was found")
    else:
        found = await _default_class(attributes)
    priority = 0 if found is None else found.get("value", 0)
    if spec.get("priority") is not None and spec["priority"] != priority:
        raise attributes.refuse(
            f"the integer value of priority ({spec['priority']}) must not be provided in {where}; priority "
            f"admission controller computed {priority} from the given PriorityClass name"
        )
    if found is not None:
        spec["priorityClassName"] = found["metadata"]["name"]
    return priority, (found or {}).get("preemptionPolicy") or _PREEMPT


async def _default_class(attributes: Attributes) -> Object | None:
    classes = await attributes.find_all(_GROUP, "v1", "priorityclasses")
    found = [item for item in classes if item.get("globalDefault")]
    return min(found, key=lambda item: int(item["value"])) if found else None
