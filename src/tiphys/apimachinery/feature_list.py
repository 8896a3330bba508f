"""The feature gates of v1.36: stage, default, whether locked, names. Data; ``featuregates`` reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

STAGES: Final[tuple[tuple[str, bool, bool, str], ...]] = (
    ("ALPHA", False, False,
     "APIServingWithRoutine AllowUnsafeMalformedObjectDeletion CBORServingAndStorage "
     "CPUManagerPolicyAlphaOptions CSIVolumeHealth ClientsAllowCBOR ClientsPreferCBOR "
     "CloudControllerManagerWatchBasedRoutesReconciliation CloudControllerManagerWebhook "
     "ConstrainedImpersonation ContainerStopSignals CrossNamespaceVolumeDataSource "
     "CustomCPUCFSQuotaPeriod DRAListTypeAttributes DRANodeAllocatableResources "
     "DRAWorkloadResourceClaims EventedPLEG GangScheduling GenericWorkload HPAScaleToZero "
     "ImageVolumeWithDigest InPlacePodVerticalScalingExclusiveCPUs "
     "InPlacePodVerticalScalingExclusiveMemory KubeletInUserNamespace MemoryQoS MutablePVNodeAffinity "
     "NativeHistograms "
     "PodAndContainerStatsFromCRI PodLogsQuerySplitStreams QOSReserved "
     "ReduceDefaultCrashLoopBackOffDecay "
     "RuntimeClassInImageCriApi ShardedListAndWatch StorageCapacityScoring StorageVersionAPI "
     "TaintTolerationComparisonOperators TopologyAwareWorkloadScheduling "
     "TopologyManagerPolicyAlphaOptions UnknownVersionInteroperabilityProxy "
     "UserNamespacesHostNetworkSupport VolumeLimitScaling WindowsCPUAndMemoryAffinity "
     "WorkloadAwarePreemption WorkloadWithJob"),
    ("BETA", False, False,
     "CRDObservedGenerationTracking ClusterTrustBundle ClusterTrustBundleProjection "
     "ConcurrentWatchObjectDecode CoordinatedLeaderElection DRADeviceTaintRules "
     "LocalStorageCapacityIsolationFSQuotaMonitoring "
     "MaxUnavailableStatefulSet NodeLogQuery PodCertificateRequest SELinuxMount SchedulerAsyncAPICalls "
     "StorageVersionMigrator"),
    ("BETA", True, False,
     "APIResponseCompression APIServerIdentity AllowParsingUserUIDFromCertAuth "
     "AuthorizePodWebsocketUpgradeCreatePermission CPUManagerPolicyBetaOptions "
     "CSIServiceAccountTokenSecrets ClearingNominatedNodeNameAfterBinding ComponentFlagz "
     "ComponentStatusz ContainerCheckpoint ContainerRestartRules ContextualLogging "
     "DRAConsumableCapacity DRADeviceBindingConditions DRADeviceTaints DRAExtendedResource "
     "DRAPartitionableDevices DRAResourceClaimDeviceStatus DRASchedulerFilterTimeout "
     "DeclarativeValidationBeta DeploymentReplicaSetTerminatingReplicas DetectCacheInconsistency "
     "DisableCPUQuotaWithExclusiveCPUs EnvFiles ExternalServiceAccountTokenSigner GracefulNodeShutdown "
     "GracefulNodeShutdownBasedOnPodPriority HPAConfigurableTolerance HostnameOverride ImageVolume "
     "InOrderInformers InOrderInformersBatchProcess InPlacePodLevelResourcesVerticalScaling "
     "KubeletCrashLoopBackOffMax KubeletEnsureSecretPulledImages KubeletPSI "
     "KubeletPodResourcesDynamicResources KubeletPodResourcesGet KubeletSeparateDiskGC "
     "KubeletServiceAccountTokenForCredentialProviders ListFromCacheSnapshot LoggingBetaOptions "
     "MatchLabelKeysInPodTopologySpread MatchLabelKeysInPodTopologySpreadSelectorMerge "
     "MutableCSINodeAllocatableCount MutablePodResourcesForSuspendedJobs "
     "MutableSchedulingDirectivesForSuspendedJobs NodeDeclaredFeatures NominatedNodeNameForExpectation "
     "OpenAPIEnums OpportunisticBatching PodDeletionCost PodLevelResources "
     "PodReadyToStartContainersCondition "
     "PodTopologyLabelsAdmission PortForwardWebsockets PreventStaticPodAPIReferences ProcMountType "
     "RelaxedServiceNameValidation ReloadKubeletServerCertificateFile RemoteRequestHeaderUID "
     "ResourceHealthStatus ResourceHealthStatusMessage RotateKubeletServerCertificate "
     "RestartAllContainersOnContainerExits SELinuxChangePolicy SELinuxMountReadWriteOncePod "
     "SchedulerAsyncPreemption "
     "SchedulerPopFromBackoffQ ServiceAccountNodeAudienceRestriction SizeBasedListCostEstimate "
     "StatefulSetSemanticRevisionComparison StorageVersionHash StrictIPCIDRValidation "
     "StructuredAuthenticationConfigurationEgressSelector "
     "StructuredAuthenticationConfigurationJWKSMetrics TokenRequestServiceAccountUIDValidation "
     "TopologyManagerPolicyBetaOptions TranslateStreamCloseWebsocketRequests "
     "UnauthenticatedHTTP2DOSMitigation UnlockWhileProcessingFIFO UserNamespacesSupport "
     "WatchCacheInitializationPostStartHook WatchList WatchListClient WindowsGracefulNodeShutdown"),
    ("", True, False, "DRAPrioritizedList InformerResourceVersion MutatingAdmissionPolicy"),
    ("", True, True,
     "APIServerTracing AnonymousAuthConfigurableEndpoints AnyVolumeDataSource "
     "AuthorizeNodeWithSelectors AuthorizeWithSelectors BtreeWatchCache CPUManagerPolicyOptions "
     "CRDValidationRatcheting CSIMigrationPortworx ConsistentListFromCache "
     "CustomResourceFieldSelectors DRAAdminAccess DeclarativeValidation DisableAllocatorDualWrite "
     "DynamicResourceAllocation "
     "ExecProbeTimeout HonorPVReclaimPolicy ImageMaximumGCAge InPlacePodVerticalScaling "
     "JobBackoffLimitPerIndex JobManagedBy JobPodReplacementPolicy JobSuccessPolicy "
     "KubeletCgroupDriverFromCRI KubeletFineGrainedAuthz KubeletTracing LogarithmicScaleDown "
     "MatchLabelKeysInPodAffinity MultiCIDRServiceAllocator NFTablesProxyMode "
     "NodeInclusionPolicyInPodTopologySpread NodeSwap OrderedNamespaceDeletion PodLifecycleSleepAction "
     "PodLifecycleSleepActionAllowZero PodObservedGenerationTracking PodSchedulingReadiness "
     "PreferSameTrafficDistribution RecoverVolumeExpansionFailure RecursiveReadOnlyMounts "
     "RelaxedDNSSearchValidation RelaxedEnvironmentVariableValidation "
     "ResilientWatchCacheInitialization RetryGenerateName SchedulerQueueingHints "
     "SeparateTaintEvictionController ServiceAccountTokenJTI ServiceAccountTokenNodeBinding "
     "ServiceAccountTokenNodeBindingValidation ServiceAccountTokenPodNodeInfo SidecarContainers "
     "StreamingCollectionEncodingToJSON StreamingCollectionEncodingToProtobuf "
     "StructuredAuthenticationConfiguration SupplementalGroupsPolicy SystemdWatchdog "
     "TopologyManagerPolicyOptions VolumeAttributesClass WinDSR WinOverlay"),
    ("DEPRECATED", False, False,
     "AllowDNSOnlyNodeCSR AllowInsecureKubeletCertificateSigningRequests "
     "ChangeContainerStatusOnKubeletRestart DeclarativeValidationTakeover GitRepoVolumeDriver "
     "InPlacePodVerticalScalingAllocatedStatus KMSv1 KubeletRegistrationGetOnExistsOnly "
     "SeparateCacheWatchRPC WindowsHostNetwork"),
    ("DEPRECATED", True, False,
     "DisableNodeKubeProxyVersion KubeletPodResourcesListUseActivePods StorageNamespaceIndex"),
    ("DEPRECATED", True, True, "AggregatedDiscoveryRemoveBetaType"),
    ("DEPRECATED", False, True, "AllowOverwriteTerminationGracePeriodSeconds"),
)  # fmt: skip

EARLIER: Final[Mapping[str, tuple[tuple[int, str, bool], ...]]] = {
    "AuthorizePodWebsocketUpgradeCreatePermission": ((35, "BETA", True),),
    "ComponentFlagz": ((32, "ALPHA", False), (36, "BETA", True)),
    "ComponentStatusz": ((32, "ALPHA", False), (36, "BETA", True)),
    "MutatingAdmissionPolicy": ((32, "ALPHA", False), (34, "BETA", False), (36, "", True)),
    "PodTopologyLabelsAdmission": ((33, "ALPHA", False), (35, "BETA", True)),
    "SizeBasedListCostEstimate": ((34, "BETA", True),),
    "WatchCacheInitializationPostStartHook": ((31, "BETA", False), (36, "BETA", True)),
    "WatchList": ((32, "BETA", True), (33, "BETA", False), (34, "BETA", True)),
}
"""Since which minor version gates that are asked here have had a stage and default; v1.33 was otherwise."""

DEPENDENCIES: Final[Mapping[str, str]] = {
    "AuthorizeNodeWithSelectors": "AuthorizeWithSelectors",
    "ClusterTrustBundleProjection": "ClusterTrustBundle",
    "DRAAdminAccess": "DynamicResourceAllocation",
    "DRAConsumableCapacity": "DynamicResourceAllocation",
    "DRADeviceBindingConditions": "DynamicResourceAllocation DRAResourceClaimDeviceStatus",
    "DRADeviceTaintRules": "DRADeviceTaints",
    "DRADeviceTaints": "DynamicResourceAllocation",
    "DRAExtendedResource": "DynamicResourceAllocation",
    "DRAPartitionableDevices": "DynamicResourceAllocation",
    "DRAPrioritizedList": "DynamicResourceAllocation",
    "DRASchedulerFilterTimeout": "DynamicResourceAllocation",
    "DeclarativeValidationTakeover": "DeclarativeValidation",
    "DisableAllocatorDualWrite": "MultiCIDRServiceAllocator",
    "GangScheduling": "GenericWorkload",
    "GracefulNodeShutdownBasedOnPodPriority": "GracefulNodeShutdown",
    "ImageVolumeWithDigest": "ImageVolume",
    "InPlacePodLevelResourcesVerticalScaling": (
        "InPlacePodVerticalScaling PodLevelResources NodeDeclaredFeatures"
    ),
    "InPlacePodVerticalScalingAllocatedStatus": "InPlacePodVerticalScaling",
    "InPlacePodVerticalScalingExclusiveCPUs": "InPlacePodVerticalScaling",
    "InPlacePodVerticalScalingExclusiveMemory": "InPlacePodVerticalScaling",
    "MatchLabelKeysInPodTopologySpreadSelectorMerge": "MatchLabelKeysInPodTopologySpread",
    "PodCertificateRequest": "AuthorizeNodeWithSelectors",
    "PodLifecycleSleepActionAllowZero": "PodLifecycleSleepAction",
    "ProcMountType": "UserNamespacesSupport",
    "ResourceHealthStatus": "DynamicResourceAllocation",
    "ResourceHealthStatusMessage": "ResourceHealthStatus",
    "RestartAllContainersOnContainerExits": "ContainerRestartRules NodeDeclaredFeatures",
    "ServiceAccountTokenNodeBinding": "ServiceAccountTokenNodeBindingValidation",
    "StorageVersionAPI": "APIServerIdentity",
    "StructuredAuthenticationConfigurationEgressSelector": "StructuredAuthenticationConfiguration",
    "StructuredAuthenticationConfigurationJWKSMetrics": "StructuredAuthenticationConfiguration",
    "TopologyAwareWorkloadScheduling": "GenericWorkload",
    "UnknownVersionInteroperabilityProxy": "APIServerIdentity",
    "UserNamespacesHostNetworkSupport": "UserNamespacesSupport",
    "WindowsGracefulNodeShutdown": "GracefulNodeShutdown",
    "WorkloadAwarePreemption": "GangScheduling",
    "WorkloadWithJob": "GenericWorkload",
}
"""A feature can only be on while those that it needs are."""
