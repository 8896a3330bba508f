"""The requests that upstream's components of v1.36 make: their headers, their queries, their bodies.

Data only: what each component does from its start on, in order. ``test_components`` sends them. Lists and
watches are as client-go's reflectors make them: a streamed list first, paged lists where that is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

PROTOBUF: Final = "application/vnd.kubernetes.protobuf"
JSON: Final = "application/json"
STRATEGIC: Final = "application/strategic-merge-patch+json"
MERGE: Final = "application/merge-patch+json"
APPLY: Final = "application/apply-patch+yaml"

TYPED: Final = f"{PROTOBUF}, */*"
"""Accept of generated clients whose content type is protobuf."""
KUBELET: Final = f"{PROTOBUF},{JSON}"
METADATA: Final = (
    f"{PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=v1,"
    f"{JSON};as=PartialObjectMetadata;g=meta.k8s.io;v=v1,{JSON}"
)
METADATA_LIST: Final = METADATA.replace("PartialObjectMetadata", "PartialObjectMetadataList")
DISCOVERY: Final = (
    f"{JSON};g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    f"{JSON};g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,{JSON}"
)
SCALE: Final = f"{PROTOBUF}, */*"

STREAMED: Final = (
    "allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&sendInitialEvents=true"
    "&timeout=6m29s&timeoutSeconds=389&watch=true"
)
PAGED: Final = "limit=500&resourceVersion=0"
FOLLOWED: Final = "allowWatchBookmarks=true&resourceVersion={rv}&timeout=6m29s&timeoutSeconds=389&watch=true"


@dataclass(frozen=True)
class Ask:
    """One request. ``kind`` is what the answer must be; ``send`` how the body is encoded."""

    method: str
    target: str
    kind: str
    status: int = 200
    body: Any = None
    send: str = PROTOBUF
    accept: str = TYPED
    user: str = ""
    """Whom the component acts as here, where it is not itself."""


def get(target: str, kind: str, **rest: Any) -> Ask:
    return Ask("GET", target, kind, **rest)


def post(target: str, body: dict[str, Any], kind: str = "", **rest: Any) -> Ask:
    return Ask("POST", target, kind or body["kind"], rest.pop("status", 201), body, **rest)


def put(target: str, body: dict[str, Any], **rest: Any) -> Ask:
    return Ask("PUT", target, body["kind"], 200, body, **rest)


def patch(target: str, body: dict[str, Any], kind: str, send: str = STRATEGIC, **rest: Any) -> Ask:
    return Ask("PATCH", target, kind, rest.pop("status", 200), body, send, **rest)


def obj(api_version: str, kind: str, name: str = "", namespace: str = "", **rest: Any) -> dict[str, Any]:
    meta = {key: value for key, value in (("name", name), ("namespace", namespace)) if value}
    return {"apiVersion": api_version, "kind": kind, "metadata": {**meta, **rest.pop("metadata", {})}, **rest}


WORK: Final = "/api/v1/namespaces/work"
SYSTEM: Final = "/api/v1/namespaces/kube-system"
AUTHENTICATION: Final = f"{SYSTEM}/configmaps/extension-apiserver-authentication"
LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
NOW: Final = "2026-01-01T00:00:00.000000Z"


def lease(name: str, namespace: str = "kube-system", **rest: Any) -> dict[str, Any]:
    spec = {"holderIdentity": f"{name}_1", "leaseDurationSeconds": 15, "acquireTime": NOW, "renewTime": NOW,
            "leaseTransitions": 0}  # fmt: skip
    return obj("coordination.k8s.io/v1", "Lease", name, namespace, spec=spec, **rest)


def token_review(token: str) -> dict[str, Any]:
    return obj("authentication.k8s.io/v1", "TokenReview", spec={"token": token})


def access_review(user: str, **attributes: str) -> dict[str, Any]:
    spec = {"user": user, "groups": ["system:authenticated"], "resourceAttributes": attributes}
    return obj("authorization.k8s.io/v1", "SubjectAccessReview", spec=spec)


def event(api_version: str, name: str, namespace: str, about: dict[str, str], who: str) -> dict[str, Any]:
    """An Event as the old recorder (v1) or the new one (events.k8s.io/v1) makes it."""
    if api_version == "v1":
        return obj("v1", "Event", name, namespace, involvedObject=about, reason="Testing", message="text",
                   type="Normal", count=1, firstTimestamp="2026-01-01T00:00:00Z",
                   lastTimestamp="2026-01-01T00:00:00Z", source={"component": who},
                   reportingComponent=who, reportingInstance="n1")  # fmt: skip
    return obj(api_version, "Event", name, namespace, regarding=about, reason="Testing", note="text",
               type="Normal", action="Test", eventTime=NOW, reportingController=who,
               reportingInstance=f"{who}-n1")  # fmt: skip


DELEGATED: Final = (
    get(AUTHENTICATION, "ConfigMap"),
    get(f"{SYSTEM}/configmaps?fieldSelector=metadata.name%3Dextension-apiserver-authentication&{PAGED}",
        "ConfigMapList"),
    post("/apis/authentication.k8s.io/v1/tokenreviews", token_review("unknown")),
    post("/apis/authorization.k8s.io/v1/subjectaccessreviews",
         access_review("prometheus", verb="get", resource="pods", version="v1")),
)  # fmt: skip
"""What every component with delegated authentication and authorization asks."""

DISCOVERED: Final = (
    get("/healthz", "text", accept=f"{JSON}, */*"),
    get("/version", "json", accept=f"{JSON}, */*"),
    get("/api", "APIGroupDiscoveryList", accept=DISCOVERY),
    get("/apis", "APIGroupDiscoveryList", accept=DISCOVERY),
    get("/openapi/v2", "openapi", accept="application/com.github.proto-openapi.spec.v2@v1.0+protobuf"),
    get("/openapi/v3", "json", accept=f"{JSON}, */*"),
)


def elected(name: str) -> tuple[Ask, ...]:
    """Leader election of a component by a Lease."""
    return (
        get(f"{LEASES}/{name}", "Status", status=404),
        post(LEASES, lease(name)),
        put(f"{LEASES}/{name}", lease(name, metadata={"resourceVersion": "{rv}"})),
        get(f"{LEASES}/{name}", "Lease"),
    )


# -- kube-scheduler

_POD: Final = {"kind": "Pod", "namespace": "work", "name": "waiting", "apiVersion": "v1"}
SCHEDULER: Final = (
    *DELEGATED,
    *elected("kube-scheduler"),
    post(f"{WORK}/pods/waiting/binding",
         obj("v1", "Binding", "waiting", "work", target={"kind": "Node", "name": "n1"}), kind="Status"),
    patch(f"{WORK}/pods/stuck/status",
          {"status": {"$setElementOrder/conditions": [{"type": "PodScheduled"}], "conditions": [
              {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "none",
               "lastProbeTime": None, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}, "Pod"),
    post("/apis/events.k8s.io/v1/namespaces/work/events",
         event("events.k8s.io/v1", "waiting.1", "work", _POD, "default-scheduler")),
    patch("/apis/events.k8s.io/v1/namespaces/work/events/waiting.1",
          {"series": {"count": 2, "lastObservedTime": NOW}}, "Event"),
    Ask("DELETE", f"{WORK}/pods/victim", "Pod", body=obj("v1", "DeleteOptions")),
)  # fmt: skip
SCHEDULER_FOLLOWS: Final = (
    "/api/v1/pods?fieldSelector=status.phase%21%3DSucceeded%2Cstatus.phase%21%3DFailed",
    "/api/v1/nodes", "/api/v1/services", "/api/v1/replicationcontrollers", "/api/v1/namespaces",
    "/api/v1/persistentvolumes", "/api/v1/persistentvolumeclaims", "/apis/apps/v1/replicasets",
    "/apis/apps/v1/statefulsets", "/apis/policy/v1/poddisruptionbudgets",
    "/apis/storage.k8s.io/v1/storageclasses", "/apis/storage.k8s.io/v1/csinodes",
    "/apis/storage.k8s.io/v1/csidrivers", "/apis/storage.k8s.io/v1/csistoragecapacities",
    "/apis/storage.k8s.io/v1/volumeattachments", "/apis/resource.k8s.io/v1/resourceclaims",
    "/apis/resource.k8s.io/v1/resourceslices", "/apis/resource.k8s.io/v1/deviceclasses",
)  # fmt: skip

# -- kube-proxy

_UNHEADED: Final = (
    "labelSelector=%21service.kubernetes.io%2Fheadless%2C%21service.kubernetes.io%2Fservice-proxy-name"
)
PROXY: Final = (
    get("/api/v1/nodes/n1", "Node"),
    post("/apis/events.k8s.io/v1/namespaces/default/events",
         event("events.k8s.io/v1", "n1.1", "default", {"kind": "Node", "name": "n1"}, "kube-proxy")),
)  # fmt: skip
PROXY_FOLLOWS: Final = (
    "/api/v1/nodes?fieldSelector=metadata.name%3Dn1",
    f"/api/v1/services?{_UNHEADED}",
    f"/apis/discovery.k8s.io/v1/endpointslices?{_UNHEADED}",
    "/apis/networking.k8s.io/v1/servicecidrs",
)

# -- kubelet

_NODE_LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_CSI_NODES: Final = "/apis/storage.k8s.io/v1/csinodes"
_CONDITION: Final = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ready",
                     "lastHeartbeatTime": "2026-01-01T00:00:10Z",
                     "lastTransitionTime": "2026-01-01T00:00:00Z"}  # fmt: skip
_OWNED: Final = [{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "{uid:n1}"}]
KUBELET_ASKS: Final = tuple(
    Ask(a.method, a.target, a.kind, a.status, a.body, a.send, KUBELET if a.accept == TYPED else a.accept)
    for a in (
        post("/api/v1/nodes", obj(
            "v1", "Node", "n1", metadata={"labels": {"kubernetes.io/hostname": "n1"}},
            status={"capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"},
                    "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
                    "conditions": [_CONDITION],
                    "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]}), "Status", status=409),
        get("/api/v1/nodes/n1?resourceVersion=0&timeout=10s", "Node"),
        patch("/api/v1/nodes/n1/status?timeout=10s",
              {"status": {"$setElementOrder/conditions": [{"type": "Ready"}], "conditions": [_CONDITION]}},
              "Node"),
        patch("/api/v1/nodes/n1", {"metadata": {"annotations": {
            "volumes.kubernetes.io/controller-managed-attach-detach": "true"}}}, "Node"),
        get(f"{_NODE_LEASES}/n1?timeout=10s", "Status", status=404),
        post(f"{_NODE_LEASES}?timeout=10s", lease("n1", "kube-node-lease",
                                                  metadata={"ownerReferences": _OWNED})),
        put(f"{_NODE_LEASES}/n1?timeout=10s",
            lease("n1", "kube-node-lease", metadata={"resourceVersion": "{rv}", "ownerReferences": _OWNED})),
        get(f"{_CSI_NODES}/n1", "Status", status=404),
        post(_CSI_NODES, obj("storage.k8s.io/v1", "CSINode", "n1", metadata={"ownerReferences": _OWNED},
                             spec={"drivers": []})),
        get(f"{WORK}/pods/running", "Pod"),
        patch(f"{WORK}/pods/running/status", {
            "metadata": {"uid": "{uid:running}"},
            "status": {"phase": "Running", "podIP": "10.0.0.5", "podIPs": [{"ip": "10.0.0.5"}],
                       "$setElementOrder/podIPs": [{"ip": "10.0.0.5"}],
                       "containerStatuses": [{"name": "c", "ready": True, "restartCount": 0, "image": "img",
                                              "imageID": "sha256:1", "started": True,
                                              "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]},
        }, "Pod"),
        get(f"{WORK}/secrets/mounted", "Secret"),
        get(f"{WORK}/configmaps/mounted", "ConfigMap"),
        post(f"{WORK}/serviceaccounts/default/token", obj(
            "authentication.k8s.io/v1", "TokenRequest", spec={
                "audiences": [], "expirationSeconds": 3607,
                "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "running",
                                   "uid": "{uid:running}"}})),
        post(f"{WORK}/pods", obj(
            "v1", "Pod", "static-n1", "work",
            metadata={"annotations": {"kubernetes.io/config.mirror": "1", "kubernetes.io/config.hash": "1",
                                      "kubernetes.io/config.source": "file"},
                      "ownerReferences": [{**_OWNED[0], "controller": True}]},
            spec={"nodeName": "n1", "hostNetwork": True, "containers": [{"name": "c", "image": "img"}],
                  "tolerations": [{"operator": "Exists", "effect": "NoExecute"}],
                  "enableServiceLinks": True})),
        post(f"{WORK}/events", event("v1", "running.1", "work", {**_POD, "name": "running"}, "kubelet")),
        patch(f"{WORK}/events/running.1", {"count": 2, "lastTimestamp": "2026-01-01T00:01:00Z"}, "Event"),
        Ask("DELETE", f"{WORK}/pods/going", "Pod", body=obj(
            "v1", "DeleteOptions", gracePeriodSeconds=0, preconditions={"uid": "{uid:going}"})),
        Ask("DELETE", "/apis/resource.k8s.io/v1/resourceslices?fieldSelector=spec.nodeName%3Dn1",
            "ResourceSliceList", body=obj("v1", "DeleteOptions")),
        post("/apis/certificates.k8s.io/v1/certificatesigningrequests", obj(
            "certificates.k8s.io/v1", "CertificateSigningRequest", metadata={"generateName": "csr-"},
            spec={"request": "{csr:system:node:n1}",
                  "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
                  "usages": ["digital signature", "client auth"]})),
        post("/apis/authentication.k8s.io/v1/tokenreviews", token_review("unknown")),
        post("/apis/authorization.k8s.io/v1/subjectaccessreviews",
             access_review("prometheus", verb="get", resource="nodes", subresource="metrics", name="n1")),
    )
)  # fmt: skip
KUBELET_FOLLOWS: Final = (
    "/api/v1/nodes?fieldSelector=metadata.name%3Dn1",
    "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1",
    "/api/v1/services",
    "/apis/storage.k8s.io/v1/csidrivers",
    "/apis/node.k8s.io/v1/runtimeclasses",
    "/api/v1/namespaces/work/secrets?fieldSelector=metadata.name%3Dmounted",
    "/api/v1/namespaces/work/configmaps?fieldSelector=metadata.name%3Dmounted",
)

# -- kube-controller-manager

_SA: Final = "system:serviceaccount:kube-system:"
_GC, _NAMESPACES = f"{_SA}generic-garbage-collector", f"{_SA}namespace-controller"
_NAMESPACE: Final = obj("v1", "Namespace", "leaving", metadata={"resourceVersion": "{rv:leaving}"},
                        spec={"finalizers": []})  # fmt: skip
CONTROLLER_MANAGER: Final = (
    *DISCOVERED,
    *DELEGATED,
    *elected("kube-controller-manager"),
    get(f"{SYSTEM}/serviceaccounts/deployment-controller", "Status", status=404),
    post(f"{SYSTEM}/serviceaccounts", obj("v1", "ServiceAccount", "deployment-controller", "kube-system")),
    post(f"{SYSTEM}/serviceaccounts/deployment-controller/token", obj(
        "authentication.k8s.io/v1", "TokenRequest", spec={"audiences": None, "expirationSeconds": 3600})),
    post(f"{SYSTEM}/events", event("v1", "kcm.1", "kube-system", {
        "kind": "Lease", "namespace": "kube-system", "name": "kube-controller-manager"},
        "kube-controller-manager")),
    post("/apis/apps/v1/namespaces/work/replicasets", obj(
        "apps/v1", "ReplicaSet", "web-1", "work", spec={
            "replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "img"}]}}}),
        user=f"{_SA}deployment-controller"),
    put("/apis/apps/v1/namespaces/work/replicasets/web-1/status", obj(
        "apps/v1", "ReplicaSet", "web-1", "work", metadata={"resourceVersion": "{rv}"}, spec={
            "replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "img"}]}}},
        status={"replicas": 0, "observedGeneration": 1}), user=f"{_SA}replicaset-controller"),
    post(f"{WORK}/pods", obj(
        "v1", "Pod", metadata={"generateName": "web-1-", "labels": {"app": "web"}},
        spec={"containers": [{"name": "c", "image": "img"}]}), user=f"{_SA}replicaset-controller"),
    post("/apis/discovery.k8s.io/v1/namespaces/work/endpointslices", obj(
        "discovery.k8s.io/v1", "EndpointSlice", metadata={"generateName": "web-", "labels": {
            "kubernetes.io/service-name": "web",
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}},
        addressType="IPv4", ports=[{"name": "", "port": 80, "protocol": "TCP"}],
        endpoints=[{"addresses": ["10.0.0.5"], "conditions": {"ready": True}}]),
        user=f"{_SA}endpointslice-controller"),
    patch("/api/v1/nodes/n1", {"spec": {"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24"]}}, "Node",
          user=f"{_SA}node-controller"),
    patch("/api/v1/nodes/n1", {"metadata": {"annotations": {"node.alpha.kubernetes.io/ttl": "0"}}}, "Node",
          user=f"{_SA}ttl-controller"),
    patch(f"{WORK}/pods/stuck/status", {
        "metadata": {"uid": "{uid:stuck}"},
        "status": {"conditions": [{"type": "DisruptionTarget", "status": "True",
                                   "reason": "DeletionByTaintManager", "message": "gone"}]}}, "Pod",
          user=f"{_SA}node-controller"),
    patch("/apis/networking.k8s.io/v1/servicecidrs/kubernetes/status?fieldManager=service-cidr-controller"
          "&force=true", obj("networking.k8s.io/v1", "ServiceCIDR", "kubernetes", status={"conditions": [
              {"type": "Ready", "status": "True", "reason": "", "message": "ready",
               "lastTransitionTime": "2026-01-01T00:00:00Z"}]}), "ServiceCIDR", APPLY,
          user=f"{_SA}service-cidrs-controller"),
    patch(f"{WORK}/pods/stuck", {"metadata": {"ownerReferences": None}}, "PartialObjectMetadata", MERGE,
          accept=METADATA, user=_GC),
    Ask("DELETE", f"{WORK}/configmaps/mounted", "Status", user=_GC, accept=KUBELET, body=obj(
        "v1", "DeleteOptions", preconditions={"uid": "{uid:mounted}"}, propagationPolicy="Background")),
    Ask("DELETE", "/api/v1/namespaces/leaving/configmaps", "ConfigMapList", user=_NAMESPACES, accept=KUBELET,
        body=obj("v1", "DeleteOptions", propagationPolicy="Background")),
    put("/api/v1/namespaces/leaving/finalize", _NAMESPACE, user=_NAMESPACES),
    get("/apis/apps/v1/namespaces/work/replicasets/web-1/scale", "Scale", accept=SCALE,
        user=f"{_SA}horizontal-pod-autoscaler"),
    get("/apis/custom.metrics.k8s.io/v1beta2", "text", status=404, accept=f"{JSON}, */*",
        user=f"{_SA}horizontal-pod-autoscaler"),
)  # fmt: skip
CONTROLLERS_FOLLOW: Final = (
    "/api/v1/pods", "/api/v1/nodes", "/api/v1/services", "/api/v1/endpoints", "/api/v1/namespaces",
    "/api/v1/secrets", "/api/v1/configmaps", "/api/v1/serviceaccounts", "/api/v1/replicationcontrollers",
    "/api/v1/persistentvolumes", "/api/v1/persistentvolumeclaims", "/api/v1/resourcequotas",
    "/api/v1/limitranges", "/api/v1/podtemplates", "/apis/apps/v1/deployments", "/apis/apps/v1/replicasets",
    "/apis/apps/v1/statefulsets", "/apis/apps/v1/daemonsets", "/apis/apps/v1/controllerrevisions",
    "/apis/batch/v1/jobs", "/apis/batch/v1/cronjobs", "/apis/autoscaling/v2/horizontalpodautoscalers",
    "/apis/policy/v1/poddisruptionbudgets", "/apis/storage.k8s.io/v1/storageclasses",
    "/apis/storage.k8s.io/v1/csidrivers", "/apis/storage.k8s.io/v1/csinodes",
    "/apis/storage.k8s.io/v1/volumeattachments", "/apis/storage.k8s.io/v1/volumeattributesclasses",
    "/apis/certificates.k8s.io/v1/certificatesigningrequests", "/apis/discovery.k8s.io/v1/endpointslices",
    "/apis/networking.k8s.io/v1/ipaddresses", "/apis/networking.k8s.io/v1/servicecidrs",
    "/apis/networking.k8s.io/v1/ingresses", "/apis/networking.k8s.io/v1/networkpolicies",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles", "/apis/rbac.authorization.k8s.io/v1/roles",
    "/apis/resource.k8s.io/v1/resourceclaims", "/apis/resource.k8s.io/v1/resourceclaimtemplates",
    "/apis/resource.k8s.io/v1/deviceclasses", "/apis/resource.k8s.io/v1/resourceslices",
    "/apis/coordination.k8s.io/v1/leases", "/apis/node.k8s.io/v1/runtimeclasses",
    "/apis/scheduling.k8s.io/v1/priorityclasses", "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas",
    "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies", "/apis/events.k8s.io/v1/events",
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "/apis/apiregistration.k8s.io/v1/apiservices",
)  # fmt: skip
"""As metadata too: garbage collection and quota follow every kind that there is."""
