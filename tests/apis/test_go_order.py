"""In which order Go writes the fields of an object, and its converter meets them."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tiphys.apimachinery.meta import GVK
from tiphys.apis import schemas
from tiphys.apis.go_order import in_go_order, meta_in_go_order

POD = GVK("", "v1", "Pod")
MESSAGES: Final = schemas.wire_facts()["messages"]


def keys(value: Any) -> Any:
    """The order of keys, all the way down."""
    if isinstance(value, dict):
        return [(key, keys(one)) for key, one in value.items()]
    return [keys(one) for one in value] if isinstance(value, list) else value


def test_fields_come_as_go_has_them_and_unknown_ones_last() -> None:
    given = {
        "other": 1,
        "status": {},
        "spec": {"hostNetwork": 1, "containers": [{"env": 1, "name": 2}], "initContainers": 1, "volumes": 1},
        "metadata": {"labels": {"b": "", "a": ""}, "name": 1},
        "kind": 1,
    }
    assert keys(in_go_order(given, POD)) == [
        ("kind", 1),
        ("metadata", [("name", 1), ("labels", [("a", ""), ("b", "")])]),
        ("spec", [("volumes", 1), ("initContainers", 1), ("containers", [[("name", 2), ("env", 1)]]),
                  ("hostNetwork", 1)]),
        ("status", []),
        ("other", 1),
    ]  # fmt: skip


def test_fields_of_types_inside_stand_where_those_do() -> None:
    volume = {"hostPath": {"type": 1, "path": 2}, "name": 3}
    found = in_go_order({"spec": {"volumes": [volume]}}, POD)
    assert keys(found["spec"]["volumes"][0]) == [("name", 3), ("hostPath", [("path", 2), ("type", 1)])]


ORDER: Final = {
    "core.v1.Container": """
        name image command args workingDir ports envFrom env resources resizePolicy restartPolicy
        restartPolicyRules volumeMounts volumeDevices livenessProbe readinessProbe startupProbe lifecycle
        terminationMessagePath terminationMessagePolicy imagePullPolicy securityContext stdin stdinOnce
        tty""",
    "core.v1.PodSpec": """
        volumes initContainers containers ephemeralContainers restartPolicy terminationGracePeriodSeconds
        activeDeadlineSeconds dnsPolicy nodeSelector serviceAccountName serviceAccount
        automountServiceAccountToken nodeName hostNetwork hostPID hostIPC shareProcessNamespace
        securityContext imagePullSecrets hostname subdomain affinity schedulerName tolerations hostAliases
        priorityClassName priority dnsConfig readinessGates runtimeClassName enableServiceLinks
        preemptionPolicy overhead topologySpreadConstraints setHostnameAsFQDN os hostUsers schedulingGates
        resourceClaims resources hostnameOverride schedulingGroup""",
    "core.v1.PodStatus": """
        observedGeneration phase conditions message reason nominatedNodeName hostIP hostIPs podIP podIPs
        startTime initContainerStatuses containerStatuses qosClass ephemeralContainerStatuses resize
        resourceClaimStatuses extendedResourceClaimStatus allocatedResources resources
        nodeAllocatableResourceClaimStatuses""",
    "core.v1.PodCondition": (
        "type observedGeneration status lastProbeTime lastTransitionTime reason message"
    ),
    "core.v1.ServiceSpec": """
        ports selector clusterIP clusterIPs type externalIPs sessionAffinity loadBalancerIP
        loadBalancerSourceRanges externalName externalTrafficPolicy healthCheckNodePort
        publishNotReadyAddresses sessionAffinityConfig ipFamilies ipFamilyPolicy
        allocateLoadBalancerNodePorts loadBalancerClass internalTrafficPolicy trafficDistribution""",
    "core.v1.Volume": """
        name hostPath emptyDir gcePersistentDisk awsElasticBlockStore gitRepo secret nfs iscsi glusterfs
        persistentVolumeClaim rbd flexVolume cinder cephfs flocker downwardAPI fc azureFile configMap
        vsphereVolume quobyte azureDisk photonPersistentDisk projected portworxVolume scaleIO storageos csi
        ephemeral image""",
    "core.v1.NodeSpec": "podCIDR podCIDRs providerID unschedulable taints configSource externalID",
    "core.v1.PersistentVolumeClaimSpec": """
        accessModes selector resources volumeName storageClassName volumeMode dataSource dataSourceRef
        volumeAttributesClassName""",
    "core.v1.ObjectReference": "kind namespace name uid apiVersion resourceVersion fieldPath",
    "apps.v1.ReplicaSetStatus": """
        replicas fullyLabeledReplicas readyReplicas availableReplicas terminatingReplicas observedGeneration
        conditions""",
    "batch.v1.JobSpec": """
        parallelism completions activeDeadlineSeconds podFailurePolicy successPolicy backoffLimit
        backoffLimitPerIndex maxFailedIndexes selector manualSelector template ttlSecondsAfterFinished
        completionMode suspend podReplacementPolicy managedBy""",
    "networking.v1.IngressSpec": "ingressClassName defaultBackend tls rules",
    "discovery.v1.EndpointSlice": "metadata addressType endpoints ports",
    "apiextensions.v1.CustomResourceDefinitionSpec": (
        "group names scope versions conversion preserveUnknownFields"
    ),
    "apiextensions.v1.CustomResourceDefinitionVersion": """
        name served storage deprecated deprecationWarning schema subresources additionalPrinterColumns
        selectableFields""",
    "admissionregistration.v1.ValidatingWebhook": """
        name clientConfig rules failurePolicy matchPolicy namespaceSelector objectSelector sideEffects
        timeoutSeconds admissionReviewVersions matchConditions""",
    "admissionregistration.v1.NamedRuleWithOperations": (
        "resourceNames operations apiGroups apiVersions resources scope"
    ),
    "admission.v1.AdmissionRequest": """
        uid kind resource subResource requestKind requestResource requestSubResource name namespace operation
        userInfo object oldObject dryRun options""",
    "meta.v1.ObjectMeta": """
        name generateName namespace selfLink uid resourceVersion generation creationTimestamp
        deletionTimestamp deletionGracePeriodSeconds labels annotations ownerReferences finalizers
        managedFields""",
    "meta.v1.OwnerReference": "apiVersion kind name uid controller blockOwnerDeletion",
    "meta.v1.ManagedFieldsEntry": "manager operation apiVersion time fieldsType fieldsV1 subresource",
    "meta.v1.Status": "metadata status message reason details code",
    "meta.v1.StatusDetails": "name group kind uid causes retryAfterSeconds",
}
"""All fields of some types, as Go declares them."""


@pytest.mark.parametrize("message", ORDER)
def test_fields_of_a_type_stand_as_go_declares_them(message: str) -> None:
    assert schemas._fields(message, MESSAGES) == ORDER[message].split()


def test_no_field_comes_twice() -> None:
    for message in MESSAGES:
        fields = schemas._fields(message, MESSAGES)
        assert len(fields) == len(set(fields)), message


def test_a_kind_comes_first_and_what_names_another_keeps_its_own_order() -> None:
    owner = {"uid": 1, "name": 2, "kind": 3, "apiVersion": 4}
    target = {"apiVersion": 1, "name": 2, "kind": 3}
    given = {"target": target, "metadata": {"ownerReferences": [owner]}, "apiVersion": 1, "kind": 1}
    assert keys(in_go_order(given, GVK("", "v1", "Binding"))) == [
        ("kind", 1),
        ("apiVersion", 1),
        ("metadata", [("ownerReferences", [[("apiVersion", 4), ("kind", 3), ("name", 2), ("uid", 1)]])]),
        ("target", [("kind", 3), ("name", 2), ("apiVersion", 1)]),
    ]


def test_what_is_no_object_stays_as_it_is() -> None:
    assert in_go_order({"spec": [1], "metadata": "x"}, POD) == {"metadata": "x", "spec": [1]}


def test_what_is_in_order_is_left_alone() -> None:
    labels = {"a": "1", "b": "2"}
    assert meta_in_go_order({"labels": labels, "name": "n"})["labels"] is labels
    assert keys(meta_in_go_order({"labels": {"b": "2", "a": "1"}, "name": "n"})) == [
        ("name", "n"),
        ("labels", [("a", "1"), ("b", "2")]),
    ]


def test_an_object_of_no_built_in_kind_is_as_it_was() -> None:
    given = {"spec": {"b": 1, "a": 2}, "kind": "Foo", "apiVersion": "example.org/v1"}
    assert in_go_order(given) is given


def test_shapes_beyond_the_bound_are_in_order_too() -> None:
    known = ORDER["core.v1.PodSpec"].split()
    for index in range(600):
        chosen = [key for place, key in enumerate(known[:10]) if index >> place & 1]
        found = in_go_order({"kind": "Pod", "apiVersion": "v1", "spec": dict.fromkeys(reversed(chosen), 1)})
        assert list(found["spec"]) == chosen


def test_what_an_update_leaves_alone_is_not_looked_at() -> None:
    labels, containers = {"b": "1", "a": "2"}, [{"image": "i", "name": "c"}]
    known = {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"labels": labels},
        "spec": {"containers": containers},
    }
    one, other = {"status": "True", "type": "A"}, {"status": "True", "type": "B"}
    known["status"] = {"conditions": [one]}
    changed = {
        **known,
        "spec": {"nodeName": "n", "containers": containers},
        "status": {"conditions": [other, one]},
    }
    found = in_go_order(changed, known=known)
    assert found["metadata"] is known["metadata"]
    assert found["spec"]["containers"] is containers
    assert list(found["spec"]) == ["containers", "nodeName"]
    assert [list(each) for each in found["status"]["conditions"]] == [["type", "status"], ["status", "type"]]
