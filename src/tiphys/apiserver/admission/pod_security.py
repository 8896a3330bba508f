"""PodSecurity: pods meet the standard that their namespace's labels ask for.

Owns: which writes are judged and what follows (refusal, warning, audit annotation). Refuses: the checks
themselves (``apis.podsecurity``), namespaces (``pod_security_namespaces``).
Source: the "Pod Security Admission" page.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.apimachinery.meta import Object
from tiphys.apis.podsecurity.evaluate import details, evaluate
from tiphys.apis.podsecurity.policy import Policy, policy_of
from tiphys.apiserver.admission import pod_security_namespaces
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.pod_security_config import PodSecuritySettings, read_settings
from tiphys.apiserver.admission.pod_security_counts import PodSecurityCounts
from tiphys.apiserver.config_files import joined

_PREFIX = "pod-security.kubernetes.io/"
_IGNORED = frozenset({"exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"})
_TEMPLATES: dict[tuple[str, str], tuple[str, ...]] = {
    ("", "podtemplates"): ("template",),
    ("", "replicationcontrollers"): ("spec", "template"),
    ("apps", "replicasets"): ("spec", "template"),
    ("apps", "deployments"): ("spec", "template"),
    ("apps", "statefulsets"): ("spec", "template"),
    ("apps", "daemonsets"): ("spec", "template"),
    ("batch", "jobs"): ("spec", "template"),
    ("batch", "cronjobs"): ("spec", "jobTemplate", "spec", "template"),
}
"""Where kinds that make pods keep the template."""
_SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"


class PodSecurity:
    """Judges pods, the templates of pods, and namespaces whose level rises."""

    NAME = "PodSecurity"
    RESOURCES = frozenset({("", "namespaces"), ("", "pods"), *_TEMPLATES})
    VALIDATES = frozenset({"CREATE", "UPDATE"})

    def __init__(self, settings: PodSecuritySettings | None = None) -> None:
        self._settings = settings or PodSecuritySettings()
        self.REPEATS = not self._settings.usernames
        self.counts = PodSecurityCounts()
        self.collect = self.counts.collect

    @classmethod
    def configured(cls, document: Object | None) -> PodSecurity:
        """Raises BadConfiguration."""
        return cls(read_settings(document))

    async def validate(self, attributes: Attributes) -> None:
        if attributes.obj is None:
            return
        if not attributes.group and attributes.plural == "namespaces":
            if not attributes.subresource:
                await pod_security_namespaces.judge(attributes, attributes.obj, self._settings)
        elif not attributes.group and attributes.plural == "pods":
            if attributes.subresource not in _IGNORED:
                await self._judge_pod(attributes, attributes.obj)
        elif (attributes.group, attributes.plural) in _TEMPLATES and not attributes.subresource:
            await self._judge_template(attributes, attributes.obj)

    async def _policy(self, attributes: Attributes) -> tuple[Policy, str] | None:
        """Return the policy of the write's namespace, and what is wrong with how it is said."""
        namespace = await attributes.find("", "v1", "namespaces", attributes.namespace)
        if namespace is None:
            return None
        policy, faults = policy_of(namespace["metadata"].get("labels"), self._settings.defaults)
        return policy, joined(faults) if faults else ""

    def _excused(self, attributes: Attributes, why: str) -> bool:
        """Tell whether nobody looks, and say why where audits are kept."""
        if why:
            attributes.annotate(f"{_PREFIX}exempt", why)
            self.counts.exempted(attributes)
        return bool(why)

    def _whose(self, attributes: Attributes) -> str:
        """Return what about a request, other than its pod, makes it exempt."""
        if attributes.namespace in self._settings.namespaces:
            return "namespace"
        return "user" if attributes.call.user.name in self._settings.usernames else ""

    async def _applying(self, attributes: Attributes) -> tuple[Policy, str] | None:
        """Return the policy that a request is held to, as ``_policy`` does; None also where it is exempt."""
        if self._excused(attributes, self._whose(attributes)):
            return None
        return await self._policy(attributes)

    async def _judge_pod(self, attributes: Attributes, pod: Object) -> None:
        found = await self._applying(attributes)
        if found is None:
            return
        policy, fault = found
        if policy.open and not fault:
            if attributes.is_audited:
                attributes.annotate(f"{_PREFIX}enforce-policy", "privileged:latest")
            self.counts.evaluated(attributes, "enforce", policy.enforce, allowed=True)
        elif attributes.old is None or _matters(pod, attributes.old):
            self._judge(attributes, policy, fault, (pod["metadata"], pod["spec"]), enforce=True)

    async def _judge_template(self, attributes: Attributes, obj: Object) -> None:
        found = await self._applying(attributes)
        if found is None:
            return
        policy, fault = found
        if policy.audit.open and policy.warn.open and not fault:
            return
        template: Any = obj
        for key in _TEMPLATES[attributes.group, attributes.plural]:
            template = (template or {}).get(key)
        if template and template.get("spec"):
            subject = template.get("metadata") or {}, template["spec"]
            self._judge(attributes, policy, fault, subject, enforce=False)

    def _judge(
        self,
        attributes: Attributes,
        policy: Policy,
        fault: str,
        subject: tuple[Object, Object],
        *,
        enforce: bool,
    ) -> None:
        """Refuse, note and warn, as the policy says. ``subject``: metadata and spec."""
        exempt = subject[1].get("runtimeClassName") in self._settings.runtime_classes
        if self._excused(attributes, "runtimeClass" if exempt else ""):
            return
        if fault:
            attributes.annotate(f"{_PREFIX}error", f"Failed to parse policy: {fault}")
            self.counts.failed(attributes, fatal=False)
        findings = []
        if enforce:
            attributes.annotate(f"{_PREFIX}enforce-policy", str(policy.enforce))
            findings = evaluate(policy.enforce, *subject)
            self.counts.evaluated(attributes, "enforce", policy.enforce, allowed=not findings)
        if noted := evaluate(policy.audit, *subject):
            text = f'would violate PodSecurity "{policy.audit}": {details(noted)}'
            attributes.annotate(f"{_PREFIX}audit-violations", text)
            self.counts.evaluated(attributes, "audit", policy.audit, allowed=False)
        if findings:
            raise attributes.refuse(f'violates PodSecurity "{policy.enforce}": {details(findings)}')
        if warned := evaluate(policy.warn, *subject):
            attributes.call.warn(f'would violate PodSecurity "{policy.warn}": {details(warned)}')
            self.counts.evaluated(attributes, "warn", policy.warn, allowed=False)


def _matters(new: Object, old: Object) -> bool:
    """Tell whether an update touches what can change under a pod's checks: images, containers, seccomp."""
    for key in ("containers", "initContainers"):
        if _seen(new, key) != _seen(old, key):
            return True
    known = dict(_seen(old, "ephemeralContainers"))
    return any(known.get(name) != seen for name, seen in _seen(new, "ephemeralContainers"))


def _seen(pod: Object, key: str) -> list[tuple[str, object]]:
    """Return by name what counts of containers."""
    annotations = pod["metadata"].get("annotations") or {}
    containers: Iterable[Object] = pod["spec"].get(key) or ()
    return [
        (one["name"], (one.get("image"), annotations.get(_SECCOMP_CONTAINER + one["name"])))
        for one in containers
    ]
