"""A pod's priority comes from its class; a cluster has at most one default class."""

from __future__ import annotations

from tiphys.apimachinery.meta import Object
from tiphys.apiserver.admission.attributes import Attributes

_GROUP = "scheduling.k8s.io"
_PREEMPT = "PreemptLowerPriority"


class Priority:
    """Resolves priorityClassName into priority and preemptionPolicy."""

    NAME = "Priority"
    RESOURCES = frozenset({("", "pods"), (_GROUP, "priorityclasses")})
    SUBRESOURCES = frozenset({""})
    ADMITS = VALIDATES = frozenset({"CREATE", "UPDATE"})
    REPEATS = True

    async def admit(self, attributes: Attributes) -> None:
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
        name = spec.get("priorityClassName") or ""
        priority, policy = 0, _PREEMPT
        if not name:
            default = await _default_class(attributes)
            if default is not None:
                name, priority = default["metadata"]["name"], default["value"]
                policy = default.get("preemptionPolicy") or _PREEMPT
        else:
            found = await attributes.find(_GROUP, "v1", "priorityclasses", name)
            if found is None:
                raise attributes.refuse(f"no PriorityClass with name {name} was found")
            priority, policy = found.get("value", 0), found.get("preemptionPolicy") or _PREEMPT
        if spec.get("priority") is not None and spec["priority"] != priority:
            raise attributes.refuse(
                f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
                "priority admission controller computed "
                f"{priority} from the given PriorityClass name"
            )
        if spec.get("preemptionPolicy") not in (None, policy):
            raise attributes.refuse(
                f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided in "
                f"pod spec; priority admission controller computed {policy} from the given PriorityClass name"
            )
        if name:
            spec["priorityClassName"] = name
        spec["priority"], spec["preemptionPolicy"] = priority, policy

    async def validate(self, attributes: Attributes) -> None:
        obj = attributes.obj
        if attributes.group != _GROUP or obj is None or not obj.get("globalDefault"):
            return
        default = await _default_class(attributes)
        if default is None:
            return
        if attributes.operation == "CREATE" or default["metadata"]["name"] != attributes.name:
            raise attributes.refuse(
                f"PriorityClass {default['metadata']['name']} is already marked as default. "
                "Only one default can exist"
            )


async def _default_class(attributes: Attributes) -> Object | None:
    classes = await attributes.find_all(_GROUP, "v1", "priorityclasses")
    found = [item for item in classes if item.get("globalDefault")]
    return min(found, key=lambda item: int(item["value"])) if found else None
