"""The names of Go's types of texts, lists and maps that have one, for the texts of faults.

Read only when a value has been refused. A field is named by group, version and kind of its
definition, and its key. Source: ``types.go`` of each group.
"""

from __future__ import annotations

from functools import cache
from typing import Final

_CORE: Final = {
    "AppArmorProfileType": "AppArmorProfile.type",
    "AzureDataDiskCachingMode": "AzureDiskVolumeSource.cachingMode",
    "AzureDataDiskKind": "AzureDiskVolumeSource.kind",
    "Capability": "Capabilities.add Capabilities.drop",
    "ComponentConditionType": "ComponentCondition.type",
    "ConditionStatus": (
        "ComponentCondition.status NamespaceCondition.status NodeCondition.status "
        "PersistentVolumeClaimCondition.status PodCondition.status "
        "ReplicationControllerCondition.status"
    ),
    "ContainerRestartPolicy": "Container.restartPolicy EphemeralContainer.restartPolicy",
    "ContainerRestartRuleAction": "ContainerRestartRule.action",
    "ContainerRestartRuleOnExitCodesOperator": "ContainerRestartRuleOnExitCodes.operator",
    "DNSPolicy": "PodSpec.dnsPolicy",
    "FinalizerName": "NamespaceSpec.finalizers",
    "HostPathType": "HostPathVolumeSource.type",
    "IPFamily": "ServiceSpec.ipFamilies",
    "IPFamilyPolicy": "ServiceSpec.ipFamilyPolicy",
    "LimitType": "LimitRangeItem.type",
    "LoadBalancerIPMode": "LoadBalancerIngress.ipMode",
    "MountPropagationMode": "VolumeMount.mountPropagation",
    "NamespaceConditionType": "NamespaceCondition.type",
    "NamespacePhase": "NamespaceStatus.phase",
    "NodeAddressType": "NodeAddress.type",
    "NodeConditionType": "NodeCondition.type",
    "NodeInclusionPolicy": (
        "TopologySpreadConstraint.nodeAffinityPolicy TopologySpreadConstraint.nodeTaintsPolicy"
    ),
    "NodePhase": "NodeStatus.phase",
    "NodeSelectorOperator": "NodeSelectorRequirement.operator",
    "OSName": "PodOS.name",
    "PersistentVolumeAccessMode": (
        "PersistentVolumeClaimSpec.accessModes PersistentVolumeClaimStatus.accessModes "
        "PersistentVolumeSpec.accessModes"
    ),
    "PersistentVolumeClaimConditionType": "PersistentVolumeClaimCondition.type",
    "PersistentVolumeClaimModifyVolumeStatus": "ModifyVolumeStatus.status",
    "PersistentVolumeClaimPhase": "PersistentVolumeClaimStatus.phase",
    "PersistentVolumeMode": "PersistentVolumeClaimSpec.volumeMode PersistentVolumeSpec.volumeMode",
    "PersistentVolumePhase": "PersistentVolumeStatus.phase",
    "PersistentVolumeReclaimPolicy": "PersistentVolumeSpec.persistentVolumeReclaimPolicy",
    "PodConditionType": "PodCondition.type PodReadinessGate.conditionType",
    "PodFSGroupChangePolicy": "PodSecurityContext.fsGroupChangePolicy",
    "PodPhase": "PodStatus.phase",
    "PodQOSClass": "PodStatus.qosClass",
    "PodResizeStatus": "PodStatus.resize",
    "PodSELinuxChangePolicy": "PodSecurityContext.seLinuxChangePolicy",
    "PreemptionPolicy": "PodSpec.preemptionPolicy",
    "ProcMountType": "SecurityContext.procMount",
    "Protocol": "ContainerPort.protocol EndpointPort.protocol PortStatus.protocol ServicePort.protocol",
    "PullPolicy": (
        "Container.imagePullPolicy EphemeralContainer.imagePullPolicy ImageVolumeSource.pullPolicy"
    ),
    "RecursiveReadOnlyMode": "VolumeMount.recursiveReadOnly VolumeMountStatus.recursiveReadOnly",
    "ReplicationControllerConditionType": "ReplicationControllerCondition.type",
    "ResourceList": (
        "LimitRangeItem.default LimitRangeItem.defaultRequest LimitRangeItem.max "
        "LimitRangeItem.maxLimitRequestRatio LimitRangeItem.min NodeStatus.allocatable "
        "NodeStatus.capacity PersistentVolumeClaimStatus.allocatedResources "
        "PersistentVolumeClaimStatus.capacity PersistentVolumeSpec.capacity PodSpec.overhead "
        "ResourceQuotaSpec.hard ResourceQuotaStatus.hard ResourceQuotaStatus.used "
        "ResourceRequirements.limits ResourceRequirements.requests VolumeResourceRequirements.limits "
        "VolumeResourceRequirements.requests ContainerStatus.allocatedResources PodStatus.allocatedResources"
    ),
    "ResourceHealthStatus": "ResourceHealth.health",
    "ResourceID": "ResourceHealth.resourceID",
    "ResourceName": "ContainerResizePolicy.resourceName ResourceStatus.name",
    "ResourceQuotaScope": "ResourceQuotaSpec.scopes ScopedResourceSelectorRequirement.scopeName",
    "ResourceResizeRestartPolicy": "ContainerResizePolicy.restartPolicy",
    "RestartPolicy": "PodSpec.restartPolicy",
    "ScopeSelectorOperator": "ScopedResourceSelectorRequirement.operator",
    "SeccompProfileType": "SeccompProfile.type",
    "SecretType": "Secret.type",
    "ServiceAffinity": "ServiceSpec.sessionAffinity",
    "ServiceExternalTrafficPolicy": "ServiceSpec.externalTrafficPolicy",
    "ServiceInternalTrafficPolicy": "ServiceSpec.internalTrafficPolicy",
    "ServiceType": "ServiceSpec.type",
    "Signal": "Lifecycle.stopSignal ContainerStatus.stopSignal",
    "StorageMedium": "EmptyDirVolumeSource.medium",
    "SupplementalGroupsPolicy": "PodSecurityContext.supplementalGroupsPolicy",
    "TaintEffect": "Taint.effect Toleration.effect",
    "TerminationMessagePolicy": (
        "Container.terminationMessagePolicy EphemeralContainer.terminationMessagePolicy"
    ),
    "TolerationOperator": "Toleration.operator",
    "URIScheme": "HTTPGetAction.scheme",
    "UniqueVolumeName": "AttachedVolume.name NodeStatus.volumesInUse",
    "UnsatisfiableConstraintAction": "TopologySpreadConstraint.whenUnsatisfiable",
}
_DEVICES: Final = {
    "AllocationConfigSource": "DeviceAllocationConfiguration.source",
    "DeviceAllocationMode": ("DeviceSubRequest.allocationMode ExactDeviceRequest.allocationMode"),
    "FullyQualifiedName": "DeviceConstraint.distinctAttribute DeviceConstraint.matchAttribute",
    "DeviceTaintEffect": "DeviceTaint.effect DeviceToleration.effect",
    "DeviceTolerationOperator": "DeviceToleration.operator",
    "QualifiedName": "NodeAllocatableResourceMapping.capacityKey",
}


def _of_devices(version: str) -> dict[str, str]:
    """Return the types of a version of devices: v1beta1 keeps most of a device a level deeper."""
    device, request = (
        ("BasicDevice", "DeviceRequest") if version == "v1beta1" else ("Device", "ExactDeviceRequest")
    )
    named = {
        f"{version}.{name}": fields.replace("ExactDeviceRequest", request)
        for name, fields in _DEVICES.items()
    }
    key = f"map[{version}.QualifiedName]"
    return {
        **named,
        "types.UID": "DeviceRequestAllocationResult.shareID ResourceClaimConsumerReference.uid",
        f"{key}{version}.DeviceAttribute": f"{device}.attributes",
        f"{key}{version}.DeviceCapacity": f"{device}.capacity",
        f"{key}resource.Quantity": (
            "CapacityRequirements.requests DeviceRequestAllocationResult.consumedCapacity"
        ),
        f"map[v1.ResourceName]{version}.NodeAllocatableResourceMapping": (
            f"{device}.nodeAllocatableResourceMappings"
        ),
    }


_FIELDS: Final[dict[str, dict[str, str]]] = {
    "apps.v1": {
        "v1.ConditionStatus": (
            "DaemonSetCondition.status DeploymentCondition.status ReplicaSetCondition.status "
            "StatefulSetCondition.status"
        ),
        "v1.DaemonSetConditionType": "DaemonSetCondition.type",
        "v1.DaemonSetUpdateStrategyType": "DaemonSetUpdateStrategy.type",
        "v1.DeploymentConditionType": "DeploymentCondition.type",
        "v1.DeploymentStrategyType": "DeploymentStrategy.type",
        "v1.PersistentVolumeClaimRetentionPolicyType": (
            "StatefulSetPersistentVolumeClaimRetentionPolicy.whenDeleted "
            "StatefulSetPersistentVolumeClaimRetentionPolicy.whenScaled"
        ),
        "v1.PodManagementPolicyType": "StatefulSetSpec.podManagementPolicy",
        "v1.ReplicaSetConditionType": "ReplicaSetCondition.type",
        "v1.StatefulSetConditionType": "StatefulSetCondition.type",
        "v1.StatefulSetUpdateStrategyType": "StatefulSetUpdateStrategy.type",
    },
    "batch.v1": {
        "v1.CompletionMode": "JobSpec.completionMode",
        "v1.ConcurrencyPolicy": "CronJobSpec.concurrencyPolicy",
        "v1.ConditionStatus": "JobCondition.status PodFailurePolicyOnPodConditionsPattern.status",
        "v1.JobConditionType": "JobCondition.type",
        "v1.PodConditionType": "PodFailurePolicyOnPodConditionsPattern.type",
        "v1.PodFailurePolicyAction": "PodFailurePolicyRule.action",
        "v1.PodFailurePolicyOnExitCodesOperator": "PodFailurePolicyOnExitCodesRequirement.operator",
        "v1.PodReplacementPolicy": "JobSpec.podReplacementPolicy",
        "types.UID": "UncountedTerminatedPods.failed UncountedTerminatedPods.succeeded",
    },
    "autoscaling.v2": {
        "v1.ConditionStatus": "HorizontalPodAutoscalerCondition.status",
        "v1.ResourceName": (
            "ContainerResourceMetricSource.name ContainerResourceMetricStatus.name "
            "ResourceMetricSource.name ResourceMetricStatus.name"
        ),
        "v2.HPAScalingPolicyType": "HPAScalingPolicy.type",
        "v2.HorizontalPodAutoscalerConditionType": "HorizontalPodAutoscalerCondition.type",
        "v2.MetricSourceType": "MetricSpec.type MetricStatus.type",
        "v2.MetricTargetType": "MetricTarget.type",
        "v2.ScalingPolicySelect": "HPAScalingRules.selectPolicy",
    },
    "certificates.v1": {
        "map[string]v1.ExtraValue": "CertificateSigningRequestSpec.extra",
        "v1.ConditionStatus": "CertificateSigningRequestCondition.status",
        "v1.KeyUsage": "CertificateSigningRequestSpec.usages",
        "v1.RequestConditionType": "CertificateSigningRequestCondition.type",
    },
    "certificates.v1beta1": {
        "types.NodeName": "PodCertificateRequestSpec.nodeName",
        "types.UID": (
            "PodCertificateRequestSpec.nodeUID PodCertificateRequestSpec.podUID "
            "PodCertificateRequestSpec.serviceAccountUID"
        ),
    },
    "authentication.v1": {
        "map[string]v1.ExtraValue": "UserInfo.extra",
        "types.UID": "BoundObjectReference.uid",
    },
    "authorization.v1": {
        "map[string]v1.ExtraValue": "SubjectAccessReviewSpec.extra",
    },
    "admissionregistration.v1": {
        "v1.FailurePolicyType": (
            "MutatingWebhook.failurePolicy ValidatingWebhook.failurePolicy "
            "ValidatingAdmissionPolicySpec.failurePolicy MutatingAdmissionPolicySpec.failurePolicy"
        ),
        "v1.MatchPolicyType": (
            "MatchResources.matchPolicy MutatingWebhook.matchPolicy ValidatingWebhook.matchPolicy"
        ),
        "v1.PatchType": "Mutation.patchType",
        "v1.OperationType": "NamedRuleWithOperations.operations RuleWithOperations.operations",
        "v1.ParameterNotFoundActionType": "ParamRef.parameterNotFoundAction",
        "v1.ReinvocationPolicyType": (
            "MutatingAdmissionPolicySpec.reinvocationPolicy MutatingWebhook.reinvocationPolicy"
        ),
        "v1.ScopeType": "NamedRuleWithOperations.scope RuleWithOperations.scope",
        "v1.SideEffectClass": "MutatingWebhook.sideEffects ValidatingWebhook.sideEffects",
        "v1.StatusReason": "Validation.reason",
        "v1.ValidationAction": "ValidatingAdmissionPolicyBindingSpec.validationActions",
    },
    "apiextensions.v1": {
        "v1.ConditionStatus": "CustomResourceDefinitionCondition.status",
        "v1.ConversionStrategyType": "CustomResourceConversion.strategy",
        "v1.CustomResourceDefinitionConditionType": "CustomResourceDefinitionCondition.type",
        "v1.FieldValueErrorReason": "ValidationRule.reason",
        "v1.JSONSchemaDefinitions": "JSONSchemaProps.definitions",
        "v1.JSONSchemaDependencies": "JSONSchemaProps.dependencies",
        "v1.JSONSchemaURL": "JSONSchemaProps.$schema",
        "v1.ResourceScope": "CustomResourceDefinitionSpec.scope",
        "v1.ValidationRules": "JSONSchemaProps.x-kubernetes-validations",
    },
    "apiregistration.v1": {
        "v1.APIServiceConditionType": "APIServiceCondition.type",
        "v1.ConditionStatus": "APIServiceCondition.status",
    },
    "apiserverinternal.v1alpha1": {
        "v1alpha1.ConditionStatus": "StorageVersionCondition.status",
        "v1alpha1.StorageVersionConditionType": "StorageVersionCondition.type",
    },
    "discovery.v1": {
        "v1.AddressType": "EndpointSlice.addressType",
        "v1.Protocol": "EndpointPort.protocol",
    },
    "networking.v1": {
        "v1.PathType": "HTTPIngressPath.pathType",
        "v1.PolicyType": "NetworkPolicySpec.policyTypes",
        "v1.Protocol": "IngressPortStatus.protocol NetworkPolicyPort.protocol",
    },
    "node.v1": {
        "v1.ResourceList": "Overhead.podFixed",
    },
    "policy.v1": {
        "v1.UnhealthyPodEvictionPolicyType": "PodDisruptionBudgetSpec.unhealthyPodEvictionPolicy",
    },
    "scheduling.v1": {
        "v1.PreemptionPolicy": "PriorityClass.preemptionPolicy",
    },
    "coordination.v1": {
        "v1.CoordinatedLeaseStrategy": "LeaseSpec.strategy",
    },
    "storage.v1": {
        "v1.FSGroupPolicy": "CSIDriverSpec.fsGroupPolicy",
        "v1.PersistentVolumeReclaimPolicy": "StorageClass.reclaimPolicy",
        "v1.VolumeBindingMode": "StorageClass.volumeBindingMode",
        "v1.VolumeLifecycleMode": "CSIDriverSpec.volumeLifecycleModes",
    },
    "flowcontrol.v1": {
        "v1.ConditionStatus": "FlowSchemaCondition.status PriorityLevelConfigurationCondition.status",
        "v1.FlowDistinguisherMethodType": "FlowDistinguisherMethod.type",
        "v1.FlowSchemaConditionType": "FlowSchemaCondition.type",
        "v1.LimitResponseType": "LimitResponse.type",
        "v1.PriorityLevelConfigurationConditionType": "PriorityLevelConfigurationCondition.type",
        "v1.PriorityLevelEnablement": "PriorityLevelConfigurationSpec.type",
        "v1.SubjectKind": "Subject.kind",
    },
    "meta.v1": {
        "types.UID": "ObjectMeta.uid OwnerReference.uid Preconditions.uid StatusDetails.uid",
        "v1.CauseType": "StatusCause.reason",
        "v1.ConditionStatus": "Condition.status",
        "v1.DeletionPropagation": "DeleteOptions.propagationPolicy",
        "v1.FieldSelectorOperator": "FieldSelectorRequirement.operator",
        "v1.LabelSelectorOperator": "LabelSelectorRequirement.operator",
        "v1.ManagedFieldsOperationType": "ManagedFieldsEntry.operation",
        "v1.StatusReason": "Status.reason",
    },
    "core.v1": {
        "types.UID": "ObjectReference.uid ConfigMapNodeConfigSource.uid",
        "map[v1.ResourceName]v1.ClaimResourceStatus": "PersistentVolumeClaimStatus.allocatedResourceStatuses",
        "map[v1.ResourceName]resource.Quantity": "NodeAllocatableResourceClaimStatus.resources",
        **{f"v1.{name}": fields for name, fields in _CORE.items()},
    },
    **{
        f"admissionregistration.{version}": {
            "v1.OperationType": "NamedRuleWithOperations.operations",
            "v1.ScopeType": "NamedRuleWithOperations.scope",
            f"{version}.FailurePolicyType": "MutatingAdmissionPolicySpec.failurePolicy",
            f"{version}.MatchPolicyType": "MatchResources.matchPolicy",
            f"{version}.ParameterNotFoundActionType": "ParamRef.parameterNotFoundAction",
            f"{version}.PatchType": "Mutation.patchType",
            "v1.ReinvocationPolicyType": "MutatingAdmissionPolicySpec.reinvocationPolicy",
        }
        for version in ("v1alpha1", "v1beta1")
    },
    **{
        f"coordination.{version}": {"v1.CoordinatedLeaseStrategy": "LeaseCandidateSpec.strategy"}
        for version in ("v1alpha2", "v1beta1")
    },
    "resource.v1alpha3": {"v1alpha3.DeviceTaintEffect": "DeviceTaint.effect"},
    **{f"resource.{version}": _of_devices(version) for version in ("v1", "v1beta1", "v1beta2")},
}


@cache
def _by_field() -> dict[str, str]:
    return {
        f"{group}.{field}": name
        for group, names in _FIELDS.items()
        for name, fields in names.items()
        for field in fields.split()
    }


_TEXTS = "v1.ExtraValue"
"""A list of texts with a name of its own."""


def named(definition: str, key: str, go_type: str) -> str:
    """Return the Go type that a mismatch at a field speaks of, ``go_type`` where it has no other name.

    What does not fit may be the field's value, or a text or list in it.
    """
    name = _by_field().get(f"{'.'.join(definition.split('.')[-3:])}.{key}")
    if name is None or go_type.startswith("map["):
        return name or go_type
    if name.startswith("map["):
        values = name.partition("]")[2]
        return values if go_type == ("[]string" if values == _TEXTS else "string") else go_type
    if go_type.startswith("[]") and go_type != "[]string":
        return name
    return go_type.replace("string", name) if go_type in ("string", "[]string") else go_type
