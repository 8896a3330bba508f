"""What a cluster made by ``up`` has at first: Service kube-dns, a StorageClass, rights of DNS and policies.

Called by ``up`` once the API server answers; what is there already is left as it is.
"""

from __future__ import annotations

from tiphys.apimachinery.errors import AlreadyExists, NotFound
from tiphys.apimachinery.meta import GVR, Object
from tiphys.client.kinds import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, CONFIG_MAPS, SERVICES, STORAGE_CLASSES
from tiphys.client.rest import Client
from tiphys.ctl.layout import Cluster


def addons(cluster: Cluster, ca: str) -> list[tuple[GVR, Object]]:
    """Return the objects to have; ``ca`` is the PEM that clients verify the API server with."""
    auth = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": {"client-ca-file": ca},
    }
    return [
        *_rights_of_dns(),
        *_network_policies(),
        (SERVICES, _dns_service(cluster)),
        (STORAGE_CLASSES, _storage_class()),
        (CONFIG_MAPS, auth),
    ]


def _dns_service(cluster: Cluster) -> Object:
    labels = {
        "k8s-app": "kube-dns",
        "kubernetes.io/cluster-service": "true",
        "kubernetes.io/name": "CoreDNS",
    }
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": labels},
        "spec": {
            "clusterIP": cluster.dns_ip,
            "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
                {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
            ],
        },
    }


def _rights_of_dns() -> list[tuple[GVR, Object]]:
    """DNS reads all services, and writes the EndpointSlice of its own node."""
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "tiphys-dns"},
        "rules": [
            {"apiGroups": [""], "resources": ["services", "nodes"], "verbs": ["get", "list", "watch"]},
            {
                "apiGroups": ["discovery.k8s.io"],
                "resources": ["endpointslices"],
                "verbs": ["get", "list", "watch", "create", "update", "patch"],
            },
        ],
    }
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "tiphys-dns"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "tiphys-dns"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "tiphys:dns"}],
    }
    return [(CLUSTER_ROLES, role), (CLUSTER_ROLE_BINDINGS, binding)]


def _storage_class() -> Object:
    """Claims that name no class get a folder of the machine, once a pod uses them."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": "standard",
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": "kubernetes.io/host-path",
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def _network_policies() -> list[tuple[GVR, Object]]:
    """The proxies of such a cluster see to policies too: kube-proxy's own role knows nothing of them."""
    name = "tiphys-network-policies"
    group = "rbac.authorization.k8s.io"
    watch = ["list", "watch"]
    role = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": [
            {"apiGroups": [""], "resources": ["pods", "namespaces"], "verbs": watch},
            {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": watch},
        ],
    }
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "system:kube-proxy"}],
    }
    return [(CLUSTER_ROLES, role), (CLUSTER_ROLE_BINDINGS, binding)]


async def create(client: Client, cluster: Cluster) -> None:
    """Create what is missing. Raises StatusError."""
    ca = (cluster.pki / "ca.crt").read_text()
    for gvr, obj in addons(cluster, ca):
        meta = obj["metadata"]
        try:
            # Asked for first: creating a Service that exists fails over its address before its name.
            await client.get(gvr, meta["name"], meta.get("namespace", ""))
        except NotFound:
            try:
                await client.create(gvr, obj)
            except AlreadyExists:
                continue
