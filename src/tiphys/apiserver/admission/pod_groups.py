"""Groups of pods: made after templates that there are, they stay while pods are in them and keep their size.

All three are on and have nothing to say until the gate ``GenericWorkload`` (of Jobs also ``WorkloadWithJob``)
is on.
"""

from __future__ import annotations

from collections.abc import Iterable

from tiphys.apimachinery.featuregates import on
from tiphys.apimachinery.meta import Object, controller_of
from tiphys.apis.defaulting import each, peek
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.storage_protection import add_finalizer

GATE = "GenericWorkload"
FINALIZER = "scheduling.k8s.io/podgroup-protection"
_GROUP, _VERSION = "scheduling.k8s.io", "v1alpha2"


class PodGroupProtection:
    """Adds the finalizer that the protection controller takes off."""

    NAME = "PodGroupProtection"
    RESOURCES = frozenset({(_GROUP, "podgroups")})
    SUBRESOURCES = frozenset({""})
    ADMITS = frozenset({"CREATE"})

    async def admit(self, attributes: Attributes) -> None:
        if attributes.obj is not None and on(GATE):
            add_finalizer(attributes.obj, FINALIZER)


class PodGroupWorkloadExists:
    """The template that a group names is there, and stays."""

    NAME = "PodGroupWorkloadExists"
    RESOURCES = frozenset({(_GROUP, "podgroups")})
    SUBRESOURCES = frozenset({""})
    VALIDATES = frozenset({"CREATE"})

    async def validate(self, attributes: Attributes) -> None:
        reference = peek(attributes.obj or {}, "spec", "podGroupTemplateRef").get("workload")
        if not isinstance(reference, dict) or not on(GATE):
            return
        name, template = reference.get("workloadName") or "", reference.get("podGroupTemplateName") or ""
        workload = await attributes.find(_GROUP, _VERSION, "workloads", name, attributes.namespace)
        if workload is None:
            raise attributes.refuse(f'PodGroup rejected: Workload "{name}" not found')
        if peek(workload, "metadata").get("deletionTimestamp"):
            raise attributes.refuse(f'PodGroup rejected: Workload "{name}" is being deleted')
        templates = each(peek(workload, "spec"), "podGroupTemplates")
        if all(one.get("name") != template for one in templates):
            missing = f'PodGroupTemplate "{template}" not found in Workload "{name}"'
            raise attributes.refuse(f"PodGroup rejected: {missing}")


class JobValidation:
    """A Job whose pods are scheduled all at once keeps its number of them."""

    NAME = "JobValidation"
    RESOURCES = frozenset({("batch", "jobs")})
    SUBRESOURCES = frozenset({""})
    VALIDATES = frozenset({"UPDATE"})

    async def validate(self, attributes: Attributes) -> None:
        if attributes.obj is None or attributes.old is None or not (on(GATE) or on("WorkloadWithJob")):
            return
        now, before = (peek(one, "spec").get("parallelism") for one in (attributes.obj, attributes.old))
        if now == before:
            return
        for group in await _groups_of(attributes, attributes.old):
            if peek(group, "spec", "schedulingPolicy").get("gang") is not None:
                name = group["metadata"]["name"]
                text = "cannot change parallelism for a Job referencing gang-scheduled PodGroup"
                raise attributes.refuse(f'{text} "{name}"')


async def _groups_of(attributes: Attributes, job: Object) -> Iterable[Object]:
    """Return the group that a Job's template names, or else those that the Job controls."""
    named = peek(job, "spec", "template", "spec", "schedulingGroup").get("podGroupName")
    where = attributes.namespace
    if named is not None:
        found = await attributes.find(_GROUP, _VERSION, "podgroups", named, where)
        return [found] if found is not None else []
    uid = job["metadata"].get("uid")
    groups = await attributes.find_all(_GROUP, _VERSION, "podgroups", where)
    return [one for one in groups if (controller_of(one) or {}).get("uid") == uid]
