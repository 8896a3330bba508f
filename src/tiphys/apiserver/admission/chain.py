"""The ordered list of admission plugins, and how a write passes through them.

A plugin is an object with ``NAME`` and ``admit`` (may change the object) or ``validate`` (may only refuse) or
both. Adding one is a file and a line in ``PLUGINS``; a class in that list keeps state, of which every server
has its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.families import Metric
from tiphys.apimachinery.managedfields import entries
from tiphys.apimachinery.managedfields.fieldset import FieldsError
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.admission import (
    always,
    anti_affinity,
    certificates,
    claim_resize,
    claim_writers,
    declared_features,
    device_admin,
    device_taints,
    escalation,
    event_rate_limit,
    extended_resources,
    external_ips,
    image_policy,
    ingress_class,
    limit_ranger,
    namespace_existence,
    namespace_lifecycle,
    node_restriction,
    node_selector,
    owner_references,
    pod_certificates,
    pod_groups,
    pod_resize,
    pod_security,
    pod_topology,
    policy_params,
    priority,
    pull_images,
    resource_quota,
    runtime_class,
    service_account,
    storage_class,
    storage_protection,
    taint_nodes,
    toleration_restriction,
    tolerations,
    trust_bundles,
)
from tiphys.apiserver.admission.configuration import Configurable
from tiphys.apiserver.admission.policies.mutating import MutatingAdmissionPolicy
from tiphys.apiserver.admission.policies.validating import ValidatingAdmissionPolicy
from tiphys.apiserver.admission.times import AdmissionTimes, Round
from tiphys.apiserver.admission.webhooks import plugins as webhooks
from tiphys.apiserver.config_files import BadConfiguration

if TYPE_CHECKING:
    from tiphys.apiserver.admission.attributes import About, Attributes
    from tiphys.apiserver.admission.manifests.source import Source
    from tiphys.apiserver.registry.feed import Feed
    from tiphys.apiserver.registry.objects import ObjectStore


_P = TypeVar("_P")

_PLANS_MAX: Final = 1024
_ODD_MANAGERS: Final = (
    ".metadata.managedFields was in an invalid state after admission; this could be caused by an outdated "
    "mutating admission controller; please fix your requests: {}"
)


class Plugin(Protocol):
    """What every plugin has. It may also say what it can be about; where it does not, it is asked always.

    ``RESOURCES``: (group, plural) pairs; ``SUBRESOURCES``: their names, empty for objects themselves;
    ``ADMITS`` and ``VALIDATES``: operations. ``idle`` tells, before it is asked, that it has nothing to say
    to a write, or to any write at all (``None``) as nothing has been configured.

    ``REPEATS``: what it does to a new object follows from the namespace, from the object but for its name and
    what else is its own (``shortcuts.likeness``), and from what it looks up by ``Attributes.find``, where the
    user is no node. It is not asked again for one that is like another in these (``shortcuts.molds``).
    """

    @property
    def NAME(self) -> str: ...  # noqa: N802


class Mutating(Protocol):
    """A plugin that may change the object, or refuse."""

    async def admit(self, attributes: Attributes) -> None: ...


class Validating(Protocol):
    """A plugin that only looks and may refuse."""

    async def validate(self, attributes: Attributes) -> None: ...


class Following(Protocol):
    """A plugin that follows some resource."""

    def feeds(self, store: ObjectStore, table: Any) -> list[Feed]: ...


class Counting(Protocol):
    """A plugin that counts for itself what it does."""

    def collect(self) -> Iterator[Metric]: ...


class Closable(Protocol):
    """A plugin that keeps connections."""

    async def close(self) -> None: ...


PLUGINS: tuple[Plugin | type[Plugin], ...] = (
    always.AlwaysAdmit(),
    namespace_existence.NamespaceAutoProvision(),
    namespace_lifecycle.NamespaceLifecycle,
    namespace_existence.NamespaceExists(),
    anti_affinity.LimitPodHardAntiAffinityTopology(),
    limit_ranger.LimitRanger(),
    service_account.ServiceAccount(),
    node_restriction.NodeRestriction(),
    taint_nodes.TaintNodesByCondition(),
    pull_images.AlwaysPullImages(),
    image_policy.ImagePolicyWebhook,
    pod_security.PodSecurity,
    node_selector.PodNodeSelector,
    priority.Priority(),
    tolerations.DefaultTolerationSeconds(),
    toleration_restriction.PodTolerationRestriction,
    event_rate_limit.EventRateLimit,
    extended_resources.ExtendedResourceToleration(),
    storage_class.DefaultStorageClass(),
    storage_protection.StorageObjectInUseProtection(),
    pod_groups.PodGroupProtection(),
    owner_references.OwnerReferencesPermissionEnforcement(),
    claim_resize.PersistentVolumeClaimResize(),
    runtime_class.RuntimeClass(),
    certificates.CertificateRequester(),
    certificates.CertificateApproval(),
    certificates.CertificateSigning(),
    pod_certificates.PodCertificateAnswers(),
    trust_bundles.ClusterTrustBundleAttest(),
    certificates.CertificateSubjectRestriction(),
    ingress_class.DefaultIngressClass(),
    external_ips.DenyServiceExternalIPs(),
    policy_params.PolicyParamsAuthorization(),
    device_admin.DeviceAdminAccess(),
    claim_writers.ClaimStatusWriters(),
    device_taints.DeviceTaintTimes(),
    pod_topology.PodTopologyLabels(),
    pod_groups.PodGroupWorkloadExists(),
    declared_features.NodeDeclaredFeatureValidator(),
    pod_groups.JobValidation(),
    pod_resize.PodResizeValidator(),
    MutatingAdmissionPolicy,
    webhooks.MutatingAdmissionWebhook,
    escalation.RbacEscalation(),
    ValidatingAdmissionPolicy,
    webhooks.ValidatingAdmissionWebhook,
    resource_quota.ResourceQuota,
    always.AlwaysDeny(),
)

NAMES: Final = tuple(str(plugin.NAME) for plugin in cast("tuple[Any, ...]", PLUGINS))
RULES: Final = frozenset(
    {
        "CertificateRequester", "DeviceAdminAccess", "DeviceTaintTimes", "PodCertificateAnswers",
        "PolicyParamsAuthorization", "RbacEscalation", "ResourceClaimGranularStatusAuthorization",
    }
)  # fmt: skip
"""Rules that are no plugins of their own upstream: nobody turns them off."""
OFF: Final = frozenset(
    {
        "AlwaysAdmit", "AlwaysDeny", "AlwaysPullImages", "DenyServiceExternalIPs", "EventRateLimit",
        "ExtendedResourceToleration", "ImagePolicyWebhook", "LimitPodHardAntiAffinityTopology",
        "NamespaceAutoProvision", "NamespaceExists", "OwnerReferencesPermissionEnforcement",
        "PodNodeSelector", "PodTolerationRestriction",
    }
)  # fmt: skip
"""Plugins that are off until they are enabled."""


class AdmissionChain:
    """Runs the plugins in order. Raises what the first refusing plugin raises."""

    def __init__(
        self,
        plugins: Sequence[Any] = PLUGINS,
        disabled: Sequence[str] = (),
        enabled: Sequence[str] = (),
        configuration: Mapping[str, Object] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Make the plugins that are on; those that are no classes are made already.

        Raises BadConfiguration: a plugin's part of the file is faulty.
        """
        off = {*(OFF - set(enabled)), *disabled}
        on: list[Any] = [plugin for plugin in plugins if plugin.NAME not in off]
        enabled_plugins = [_made(plugin, configuration or {}) for plugin in on]
        # What a plugin is, its methods tell: asking a Protocol takes 30 times as long, at every start.
        self._mutating: list[Mutating] = [plugin for plugin in enabled_plugins if hasattr(plugin, "admit")]
        self._validating: list[Validating] = [
            plugin for plugin in enabled_plugins if hasattr(plugin, "validate")
        ]
        self._following: list[Following] = [plugin for plugin in enabled_plugins if hasattr(plugin, "feeds")]
        self._closable: list[Closable] = [plugin for plugin in enabled_plugins if hasattr(plugin, "close")]
        self._counting: list[Counting] = [plugin for plugin in enabled_plugins if hasattr(plugin, "collect")]
        found = (getattr(plugin, "manifests", None) for plugin in enabled_plugins)
        self._manifests: list[Source] = [source for source in found if source is not None]
        self._admits: dict[About, Round] = {}
        self._validates: dict[About, Round] = {}
        self._unique: dict[About, Round] = {}
        self.times = AdmissionTimes(clock)

    def add(self, plugin: Validating) -> None:
        """Ask one more plugin, after all others."""
        self._validating.append(plugin)
        self._validates.clear()
        self._unique.clear()

    def feeds(self, store: ObjectStore, table: Any) -> list[Feed]:
        """Return what the plugins need followed while the server runs."""
        return [feed for plugin in self._following for feed in plugin.feeds(store, table)]

    def collect(self) -> Iterator[Metric]:
        """Yield what is counted of plugins, and what they count themselves."""
        yield from self.times.collect()
        for plugin in self._counting:
            yield from plugin.collect()
        if self._manifests:
            from tiphys.apiserver.admission.manifests.source import collect

            yield from collect(self._manifests)

    def reload(self) -> None:
        """Look whether the files have changed that webhooks and policies come from."""
        for source in self._manifests:
            source.reload()

    async def close(self) -> None:
        """Close the plugins' connections. Idempotent."""
        for plugin in self._closable:
            await plugin.close()

    async def admit(self, attributes: Attributes) -> None:
        asked = self._admits.get(attributes.about) or self._plan_admit(attributes.about)
        managers = entries.given(attributes.obj)
        await asked.ask(attributes)
        if attributes.runs_again:
            attributes.reinvocation.again = True
            await asked.ask(attributes)
        if attributes.obj is not None and entries.given(attributes.obj) is not managers:
            _keep_managers(attributes, attributes.obj, managers)

    def _plan_admit(self, about: About) -> Round:
        _make_room(self._admits)
        operation = about.operation
        plugins = [
            self.times.of("admit", operation, plugin, plugin.admit)
            for plugin in _concerned(self._mutating, about, "ADMITS")
        ]
        found = self._admits[about] = Round(plugins, self.times.step("admit", operation))
        return found

    def repeats(self, about: About) -> bool:
        """Tell whether what is done to one object would be done to all that differ in name alone."""
        for timed in (self._admits.get(about) or self._plan_admit(about)).unique:
            if timed.idle is None or not timed.idle(None):
                return False
        return True

    async def validate(self, attributes: Attributes) -> None:
        about = attributes.about
        asked = self._validates.get(about)
        if asked is None:
            concerned = _concerned(self._validating, about, "VALIDATES")
            asked = self._validates[about] = self._plan_validate(about, concerned)
        await asked.ask(attributes)

    async def validate_unique(self, attributes: Attributes) -> None:
        """Ask only those who may refuse one object and not another that differs in name alone."""
        about = attributes.about
        asked = self._unique.get(about)
        if asked is None:
            concerned = _concerned(self._validating, about, "VALIDATES")
            unique = [plugin for plugin in concerned if not getattr(plugin, "REPEATS", False)]
            asked = self._unique[about] = self._plan_validate(about, unique)
        await asked.ask(attributes)

    def _plan_validate(self, about: About, plugins: Sequence[Validating]) -> Round:
        _make_room(self._validates)
        operation = about.operation
        timed = [self.times.of("validate", operation, plugin, plugin.validate) for plugin in plugins]
        return Round(timed, self.times.step("validate", operation))


def _keep_managers(attributes: Attributes, obj: Object, before: Any) -> None:
    """Take back what plugins made of ``managedFields`` where nobody can read it; the client is told."""
    try:
        entries.read(entries.given(obj))
    except FieldsError as error:
        if before is None:
            del obj["metadata"]["managedFields"]
        else:
            obj["metadata"]["managedFields"] = before
        attributes.call.warn(_ODD_MANAGERS.format(error))


def _made(plugin: Any, configuration: Mapping[str, Object]) -> Any:
    if not isinstance(plugin, type):
        return plugin
    if not isinstance(plugin, Configurable):
        return plugin()
    name = str(getattr(plugin, "NAME", ""))
    try:
        return plugin.configured(configuration.get(name))
    except BadConfiguration as error:
        text = f'couldn\'t init admission plugin "{name}": {error}'
        raise BadConfiguration(text, "AdmissionConfiguration") from error


def _concerned(plugins: Iterable[_P], about: About, operations: str) -> list[_P]:
    """Return the plugins that such a write can be anything to, in order."""
    said = (
        ("RESOURCES", (about.group, about.plural)),
        ("SUBRESOURCES", about.subresource),
        (operations, about.operation),
    )
    found = []
    for plugin in plugins:
        named = ((getattr(plugin, name, None), value) for name, value in said)
        if all(values is None or value in values for values, value in named):
            found.append(plugin)
    return found


def _make_room(plans: dict[About, Round]) -> None:
    if len(plans) >= _PLANS_MAX:  # custom resources come and go
        plans.clear()
