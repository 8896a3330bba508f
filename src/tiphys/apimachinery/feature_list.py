"""The feature gates of v1.36: stage, default, whether locked, names. Data; ``featuregates`` reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

STAGES: Final[tuple[tuple[str, bool, bool, str], ...]] = (
    ("ALPHA", False, False,
     "APIServingWithRoutine AllowUnsafeMalformedObjectDeletion CBORServingAndStorage "
     "CPUManagerPolicyAlphaOptions CRIListStreaming CSIVolumeHealth ClientsAllowCBOR ClientsPreferCBOR "
     "CloudControllerManagerWatchBasedRoutesReconciliation CloudControllerManagerWebhook "
     "ContainerStopSignals ControllerManagerReleaseLeaderElectionLockOnExit "
     "CrossNamespaceVolumeDataSource DRAListTypeAttributes DRANodeAllocatableResources "
     "DRAResourcePoolStatus DRAWorkloadResourceClaims EventedPLEG GangScheduling GenericWorkload "
     "HPAScaleToZero ImageVolumeWithDigest InPlacePodVerticalScalingExclusiveCPUs "
     "InPlacePodVerticalScalingExclusiveMemory KubeletInUserNamespace LoggingAlphaOptions "
     "ManifestBasedAdmissionControlConfig MemoryQoS MutablePVNodeAffinity NativeHistograms "
     "PersistentVolumeClaimUnusedSinceTime PodAndContainerStatsFromCRI PodLevelResourceManagers "
     "PodLogsQuerySplitStreams PodsAPI QOSReserved ReduceDefaultCrashLoopBackOffDecay "
     "RuntimeClassInImageCriApi ShardedListAndWatch StorageCapacityScoring StorageVersionAPI "
     "TaintTolerationComparisonOperators TopologyAwareWorkloadScheduling "
     "TopologyManagerPolicyAlphaOptions UserNamespacesHostNetworkSupport VolumeLimitScaling "
     "WindowsCPUAndMemoryAffinity WorkloadAwarePreemption WorkloadWithJob"),
    ("BETA", False, False,
     "ClusterTrustBundle ClusterTrustBundleProjection ConcurrentWatchObjectDecode "
     "CoordinatedLeaderElection DRADeviceTaintRules LocalStorageCapacityIsolationFSQuotaMonitoring "
     "MaxUnavailableStatefulSet PodCertificateRequest SELinuxMount SchedulerAsyncAPICalls "
     "StorageVersionMigrator"),
    ("BETA", True, False,
     "APIResponseCompression APIServerIdentity AllowParsingUserUIDFromCertAuth AtomicFIFO "
     "AuthorizePodWebsocketUpgradeCreatePermission CPUManagerPolicyBetaOptions "
     "CRDObservedGenerationTracking ClearingNominatedNodeNameAfterBinding ComponentFlagz "
     "ComponentStatusz ConstrainedImpersonation ContainerCheckpoint ContainerRestartRules "
     "ContextualLogging DRAConsumableCapacity DRADeviceBindingConditions DRADeviceTaints "
     "DRAExtendedResource DRAPartitionableDevices DRAResourceClaimDeviceStatus "
     "DRAResourceClaimGranularStatusAuthorization DRASchedulerFilterTimeout DeclarativeValidationBeta "
     "DeploymentReplicaSetTerminatingReplicas DetectCacheInconsistency EnvFiles "
     "ExtendWebSocketsToKubelet GracefulNodeShutdown GracefulNodeShutdownBasedOnPodPriority "
     "HPAConfigurableTolerance HostnameOverride InOrderInformers InOrderInformersBatchProcess "
     "InPlacePodLevelResourcesVerticalScaling InPlacePodVerticalScalingInitContainers "
     "KubeletCrashLoopBackOffMax KubeletEnsureSecretPulledImages KubeletSeparateDiskGC "
     "KubeletServiceAccountTokenForCredentialProviders ListFromCacheSnapshot LoggingBetaOptions "
     "MatchLabelKeysInPodTopologySpread MatchLabelKeysInPodTopologySpreadSelectorMerge "
     "MutablePodResourcesForSuspendedJobs MutableSchedulingDirectivesForSuspendedJobs "
     "NodeDeclaredFeatures NominatedNodeNameForExpectation OpenAPIEnums OpportunisticBatching "
     "PLEGOnDemandRelist PodDeletionCost PodLevelResources PodReadyToStartContainersCondition "
     "PodTopologyLabelsAdmission PortForwardWebsockets PreventStaticPodAPIReferences "
     "RelaxedServiceNameValidation ReloadKubeletClientCAFile ReloadKubeletServerCertificateFile "
     "RemoteRequestHeaderUID ResourceHealthStatus ResourceHealthStatusMessage "
     "RestartAllContainersOnContainerExits RotateKubeletServerCertificate SchedulerAsyncPreemption "
     "SchedulerPopFromBackoffQ ServiceAccountNodeAudienceRestriction SizeBasedListCostEstimate "
     "StaleControllerConsistencyDaemonSet StaleControllerConsistencyJob "
     "StaleControllerConsistencyReplicaSet StaleControllerConsistencyStatefulSet "
     "StatefulSetSemanticRevisionComparison StorageVersionHash StrictIPCIDRValidation "
     "StructuredAuthenticationConfigurationEgressSelector "
     "StructuredAuthenticationConfigurationJWKSMetrics TokenRequestServiceAccountUIDValidation "
     "TopologyManagerPolicyBetaOptions TranslateStreamCloseWebsocketRequests "
     "UnauthenticatedHTTP2DOSMitigation UnknownVersionInteroperabilityProxy UnlockWhileProcessingFIFO "
     "WatchCacheInitializationPostStartHook WatchList WatchListClient WindowsGracefulNodeShutdown"),
    ("", True, False,
     "AllowServiceExternalIPs CustomCPUCFSQuotaPeriod DRAPrioritizedList InformerResourceVersion "
     "MutatingAdmissionPolicy"),
    ("", True, True,
     "APIServerTracing AnonymousAuthConfigurableEndpoints AnyVolumeDataSource AuthorizeNodeWithSelectors "
     "AuthorizeWithSelectors BtreeWatchCache CPUManagerPolicyOptions CRDValidationRatcheting "
     "CSIServiceAccountTokenSecrets ConsistentListFromCache "
     "CustomResourceFieldSelectors DRAAdminAccess DeclarativeValidation DisableAllocatorDualWrite "
     "DynamicResourceAllocation ExecProbeTimeout ExternalServiceAccountTokenSigner HonorPVReclaimPolicy "
     "ImageMaximumGCAge ImageVolume InPlacePodVerticalScaling JobBackoffLimitPerIndex JobManagedBy "
     "JobPodReplacementPolicy JobSuccessPolicy KubeletCgroupDriverFromCRI KubeletFineGrainedAuthz "
     "KubeletPSI KubeletPodResourcesDynamicResources KubeletPodResourcesGet KubeletTracing "
     "LogarithmicScaleDown MatchLabelKeysInPodAffinity MultiCIDRServiceAllocator "
     "MutableCSINodeAllocatableCount NFTablesProxyMode NodeInclusionPolicyInPodTopologySpread "
     "NodeLogQuery NodeSwap OrderedNamespaceDeletion PodLifecycleSleepAction "
     "PodLifecycleSleepActionAllowZero PodObservedGenerationTracking PodSchedulingReadiness "
     "PreferSameTrafficDistribution ProcMountType RecoverVolumeExpansionFailure RecursiveReadOnlyMounts "
     "RelaxedDNSSearchValidation RelaxedEnvironmentVariableValidation ResilientWatchCacheInitialization "
     "RetryGenerateName SELinuxChangePolicy SELinuxMountReadWriteOncePod SchedulerQueueingHints "
     "SeparateTaintEvictionController ServiceAccountTokenJTI ServiceAccountTokenNodeBinding "
     "ServiceAccountTokenNodeBindingValidation ServiceAccountTokenPodNodeInfo SidecarContainers "
     "StreamingCollectionEncodingToJSON StreamingCollectionEncodingToProtobuf "
     "StructuredAuthenticationConfiguration SupplementalGroupsPolicy SystemdWatchdog "
     "TopologyManagerPolicyOptions UserNamespacesSupport VolumeAttributesClass WinDSR WinOverlay"),
    ("DEPRECATED", False, False,
     "AllowDNSOnlyNodeCSR AllowInsecureKubeletCertificateSigningRequests "
     "ChangeContainerStatusOnKubeletRestart DeclarativeValidationTakeover "
     "InPlacePodVerticalScalingAllocatedStatus KMSv1 KubeletRegistrationGetOnExistsOnly "
     "WindowsHostNetwork"),
    ("DEPRECATED", True, False,
     "DisableCPUQuotaWithExclusiveCPUs KubeletPodResourcesListUseActivePods ServiceCIDRStatusFieldWiping "
     "StorageNamespaceIndex"),
    ("DEPRECATED", True, True, "AggregatedDiscoveryRemoveBetaType DisableNodeKubeProxyVersion"),
    ("DEPRECATED", False, True,
     "AllowOverwriteTerminationGracePeriodSeconds GitRepoVolumeDriver SeparateCacheWatchRPC"),
)  # fmt: skip

EARLIER: Final[Mapping[str, tuple[tuple[int, str, bool], ...]]] = {
    "AnonymousAuthConfigurableEndpoints": ((32, "BETA", True), (34, "", True)),
    "AuthorizePodWebsocketUpgradeCreatePermission": ((35, "BETA", True),),
    "CRDObservedGenerationTracking": ((35, "BETA", False), (36, "BETA", True)),
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
    "DRAListTypeAttributes": "DynamicResourceAllocation",
    "DRANodeAllocatableResources": "DynamicResourceAllocation",
    "DRAPartitionableDevices": "DynamicResourceAllocation",
    "DRAPrioritizedList": "DynamicResourceAllocation",
    "DRAResourceClaimGranularStatusAuthorization": "DynamicResourceAllocation DRAResourceClaimDeviceStatus",
    "DRAResourcePoolStatus": "DynamicResourceAllocation",
    "DRASchedulerFilterTimeout": "DynamicResourceAllocation",
    "DRAWorkloadResourceClaims": "DynamicResourceAllocation GenericWorkload",
    "DeclarativeValidationBeta": "DeclarativeValidation",
    "DeclarativeValidationTakeover": "DeclarativeValidation",
    "DisableAllocatorDualWrite": "MultiCIDRServiceAllocator",
    "ExtendWebSocketsToKubelet": "NodeDeclaredFeatures",
    "GangScheduling": "GenericWorkload",
    "GracefulNodeShutdownBasedOnPodPriority": "GracefulNodeShutdown",
    "ImageVolumeWithDigest": "ImageVolume",
    "InPlacePodLevelResourcesVerticalScaling": (
        "InPlacePodVerticalScaling PodLevelResources NodeDeclaredFeatures"
    ),
    "InPlacePodVerticalScalingAllocatedStatus": "InPlacePodVerticalScaling",
    "InPlacePodVerticalScalingExclusiveCPUs": "InPlacePodVerticalScaling",
    "InPlacePodVerticalScalingExclusiveMemory": "InPlacePodVerticalScaling",
    "InPlacePodVerticalScalingInitContainers": "InPlacePodVerticalScaling NodeDeclaredFeatures",
    "MatchLabelKeysInPodTopologySpreadSelectorMerge": "MatchLabelKeysInPodTopologySpread",
    "PodCertificateRequest": "AuthorizeNodeWithSelectors",
    "PodLevelResourceManagers": "PodLevelResources",
    "PodLifecycleSleepActionAllowZero": "PodLifecycleSleepAction",
    "ProcMountType": "UserNamespacesSupport",
    "ResourceHealthStatus": "DynamicResourceAllocation",
    "ResourceHealthStatusMessage": "ResourceHealthStatus",
    "RestartAllContainersOnContainerExits": "ContainerRestartRules NodeDeclaredFeatures",
    "ServiceAccountTokenNodeBinding": "ServiceAccountTokenNodeBindingValidation",
    "StaleControllerConsistencyDaemonSet": "AtomicFIFO",
    "StaleControllerConsistencyJob": "AtomicFIFO",
    "StaleControllerConsistencyReplicaSet": "AtomicFIFO",
    "StaleControllerConsistencyStatefulSet": "AtomicFIFO",
    "StorageVersionAPI": "APIServerIdentity",
    "StructuredAuthenticationConfigurationEgressSelector": "StructuredAuthenticationConfiguration",
    "StructuredAuthenticationConfigurationJWKSMetrics": "StructuredAuthenticationConfiguration",
    "TopologyAwareWorkloadScheduling": "GenericWorkload",
    "UnknownVersionInteroperabilityProxy": "APIServerIdentity",
    "UserNamespacesHostNetworkSupport": "UserNamespacesSupport NodeDeclaredFeatures",
    "WindowsGracefulNodeShutdown": "GracefulNodeShutdown",
    "WorkloadAwarePreemption": "GangScheduling",
    "WorkloadWithJob": "GenericWorkload",
}
"""A feature can only be on while those that it needs are."""
