"""Where every built-in kind is served: one GVR constant for each resource of Kubernetes v1.36.

Plain facts, no logic. The preferred version bears the plain name; the others end in their version.
"""

from __future__ import annotations

from tiphys.apimachinery.meta import GVR

_ADMISSION = "admissionregistration.k8s.io"

BINDINGS = GVR("", "v1", "bindings")
COMPONENT_STATUSES = GVR("", "v1", "componentstatuses")
CONFIG_MAPS = GVR("", "v1", "configmaps")
ENDPOINTS = GVR("", "v1", "endpoints")
EVENTS = GVR("", "v1", "events")
LIMIT_RANGES = GVR("", "v1", "limitranges")
NAMESPACES = GVR("", "v1", "namespaces")
NODES = GVR("", "v1", "nodes")
PERSISTENT_VOLUME_CLAIMS = GVR("", "v1", "persistentvolumeclaims")
PERSISTENT_VOLUMES = GVR("", "v1", "persistentvolumes")
PODS = GVR("", "v1", "pods")
POD_TEMPLATES = GVR("", "v1", "podtemplates")
REPLICATION_CONTROLLERS = GVR("", "v1", "replicationcontrollers")
RESOURCE_QUOTAS = GVR("", "v1", "resourcequotas")
SECRETS = GVR("", "v1", "secrets")
SERVICE_ACCOUNTS = GVR("", "v1", "serviceaccounts")
SERVICES = GVR("", "v1", "services")
API_SERVICES = GVR("apiregistration.k8s.io", "v1", "apiservices")
CONTROLLER_REVISIONS = GVR("apps", "v1", "controllerrevisions")
DAEMON_SETS = GVR("apps", "v1", "daemonsets")
DEPLOYMENTS = GVR("apps", "v1", "deployments")
REPLICA_SETS = GVR("apps", "v1", "replicasets")
STATEFUL_SETS = GVR("apps", "v1", "statefulsets")
EVENTS_V1 = GVR("events.k8s.io", "v1", "events")
SELF_SUBJECT_REVIEWS = GVR("authentication.k8s.io", "v1", "selfsubjectreviews")
TOKEN_REVIEWS = GVR("authentication.k8s.io", "v1", "tokenreviews")
LOCAL_SUBJECT_ACCESS_REVIEWS = GVR("authorization.k8s.io", "v1", "localsubjectaccessreviews")
SELF_SUBJECT_ACCESS_REVIEWS = GVR("authorization.k8s.io", "v1", "selfsubjectaccessreviews")
SELF_SUBJECT_RULES_REVIEWS = GVR("authorization.k8s.io", "v1", "selfsubjectrulesreviews")
SUBJECT_ACCESS_REVIEWS = GVR("authorization.k8s.io", "v1", "subjectaccessreviews")
HORIZONTAL_POD_AUTOSCALERS = GVR("autoscaling", "v2", "horizontalpodautoscalers")
HORIZONTAL_POD_AUTOSCALERS_V1 = GVR("autoscaling", "v1", "horizontalpodautoscalers")
CRON_JOBS = GVR("batch", "v1", "cronjobs")
JOBS = GVR("batch", "v1", "jobs")
CERTIFICATE_SIGNING_REQUESTS = GVR("certificates.k8s.io", "v1", "certificatesigningrequests")
CLUSTER_TRUST_BUNDLES = GVR("certificates.k8s.io", "v1beta1", "clustertrustbundles")
POD_CERTIFICATE_REQUESTS = GVR("certificates.k8s.io", "v1beta1", "podcertificaterequests")
CLUSTER_TRUST_BUNDLES_V1ALPHA1 = GVR("certificates.k8s.io", "v1alpha1", "clustertrustbundles")
INGRESS_CLASSES = GVR("networking.k8s.io", "v1", "ingressclasses")
INGRESSES = GVR("networking.k8s.io", "v1", "ingresses")
IP_ADDRESSES = GVR("networking.k8s.io", "v1", "ipaddresses")
NETWORK_POLICIES = GVR("networking.k8s.io", "v1", "networkpolicies")
SERVICE_CIDRS = GVR("networking.k8s.io", "v1", "servicecidrs")
IP_ADDRESSES_V1BETA1 = GVR("networking.k8s.io", "v1beta1", "ipaddresses")
SERVICE_CIDRS_V1BETA1 = GVR("networking.k8s.io", "v1beta1", "servicecidrs")
POD_DISRUPTION_BUDGETS = GVR("policy", "v1", "poddisruptionbudgets")
CLUSTER_ROLE_BINDINGS = GVR("rbac.authorization.k8s.io", "v1", "clusterrolebindings")
CLUSTER_ROLES = GVR("rbac.authorization.k8s.io", "v1", "clusterroles")
ROLE_BINDINGS = GVR("rbac.authorization.k8s.io", "v1", "rolebindings")
ROLES = GVR("rbac.authorization.k8s.io", "v1", "roles")
CSI_DRIVERS = GVR("storage.k8s.io", "v1", "csidrivers")
CSI_NODES = GVR("storage.k8s.io", "v1", "csinodes")
CSI_STORAGE_CAPACITIES = GVR("storage.k8s.io", "v1", "csistoragecapacities")
STORAGE_CLASSES = GVR("storage.k8s.io", "v1", "storageclasses")
VOLUME_ATTACHMENTS = GVR("storage.k8s.io", "v1", "volumeattachments")
VOLUME_ATTRIBUTES_CLASSES = GVR("storage.k8s.io", "v1", "volumeattributesclasses")
VOLUME_ATTRIBUTES_CLASSES_V1BETA1 = GVR("storage.k8s.io", "v1beta1", "volumeattributesclasses")
MUTATING_ADMISSION_POLICIES = GVR(_ADMISSION, "v1", "mutatingadmissionpolicies")
MUTATING_ADMISSION_POLICY_BINDINGS = GVR(
    "admissionregistration.k8s.io", "v1", "mutatingadmissionpolicybindings"
)
MUTATING_WEBHOOK_CONFIGURATIONS = GVR(_ADMISSION, "v1", "mutatingwebhookconfigurations")
VALIDATING_ADMISSION_POLICIES = GVR(_ADMISSION, "v1", "validatingadmissionpolicies")
VALIDATING_ADMISSION_POLICY_BINDINGS = GVR(
    "admissionregistration.k8s.io", "v1", "validatingadmissionpolicybindings"
)
VALIDATING_WEBHOOK_CONFIGURATIONS = GVR(
    "admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations"
)
MUTATING_ADMISSION_POLICIES_V1BETA1 = GVR(
    "admissionregistration.k8s.io", "v1beta1", "mutatingadmissionpolicies"
)
MUTATING_ADMISSION_POLICY_BINDINGS_V1BETA1 = GVR(
    "admissionregistration.k8s.io", "v1beta1", "mutatingadmissionpolicybindings"
)
MUTATING_ADMISSION_POLICIES_V1ALPHA1 = GVR(
    "admissionregistration.k8s.io", "v1alpha1", "mutatingadmissionpolicies"
)
MUTATING_ADMISSION_POLICY_BINDINGS_V1ALPHA1 = GVR(
    "admissionregistration.k8s.io", "v1alpha1", "mutatingadmissionpolicybindings"
)
CUSTOM_RESOURCE_DEFINITIONS = GVR("apiextensions.k8s.io", "v1", "customresourcedefinitions")
PRIORITY_CLASSES = GVR("scheduling.k8s.io", "v1", "priorityclasses")
POD_GROUPS = GVR("scheduling.k8s.io", "v1alpha2", "podgroups")
WORKLOADS = GVR("scheduling.k8s.io", "v1alpha2", "workloads")
LEASES = GVR("coordination.k8s.io", "v1", "leases")
LEASE_CANDIDATES = GVR("coordination.k8s.io", "v1beta1", "leasecandidates")
LEASE_CANDIDATES_V1ALPHA2 = GVR("coordination.k8s.io", "v1alpha2", "leasecandidates")
RUNTIME_CLASSES = GVR("node.k8s.io", "v1", "runtimeclasses")
ENDPOINT_SLICES = GVR("discovery.k8s.io", "v1", "endpointslices")
DEVICE_CLASSES = GVR("resource.k8s.io", "v1", "deviceclasses")
RESOURCE_CLAIMS = GVR("resource.k8s.io", "v1", "resourceclaims")
RESOURCE_CLAIM_TEMPLATES = GVR("resource.k8s.io", "v1", "resourceclaimtemplates")
RESOURCE_SLICES = GVR("resource.k8s.io", "v1", "resourceslices")
DEVICE_CLASSES_V1BETA2 = GVR("resource.k8s.io", "v1beta2", "deviceclasses")
DEVICE_TAINT_RULES = GVR("resource.k8s.io", "v1beta2", "devicetaintrules")
RESOURCE_CLAIMS_V1BETA2 = GVR("resource.k8s.io", "v1beta2", "resourceclaims")
RESOURCE_CLAIM_TEMPLATES_V1BETA2 = GVR("resource.k8s.io", "v1beta2", "resourceclaimtemplates")
RESOURCE_SLICES_V1BETA2 = GVR("resource.k8s.io", "v1beta2", "resourceslices")
DEVICE_CLASSES_V1BETA1 = GVR("resource.k8s.io", "v1beta1", "deviceclasses")
RESOURCE_CLAIMS_V1BETA1 = GVR("resource.k8s.io", "v1beta1", "resourceclaims")
RESOURCE_CLAIM_TEMPLATES_V1BETA1 = GVR("resource.k8s.io", "v1beta1", "resourceclaimtemplates")
RESOURCE_SLICES_V1BETA1 = GVR("resource.k8s.io", "v1beta1", "resourceslices")
DEVICE_TAINT_RULES_V1ALPHA3 = GVR("resource.k8s.io", "v1alpha3", "devicetaintrules")
RESOURCE_POOL_STATUS_REQUESTS = GVR("resource.k8s.io", "v1alpha3", "resourcepoolstatusrequests")
FLOW_SCHEMAS = GVR("flowcontrol.apiserver.k8s.io", "v1", "flowschemas")
PRIORITY_LEVEL_CONFIGURATIONS = GVR("flowcontrol.apiserver.k8s.io", "v1", "prioritylevelconfigurations")
STORAGE_VERSIONS = GVR("internal.apiserver.k8s.io", "v1alpha1", "storageversions")
STORAGE_VERSION_MIGRATIONS = GVR("storagemigration.k8s.io", "v1beta1", "storageversionmigrations")
