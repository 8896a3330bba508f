"""Keeps the authorizers' indexes current from the object store."""

from __future__ import annotations

import itertools
from typing import Any

from tiphys.apiserver.authz.graph import NodeGraph
from tiphys.apiserver.authz.graph_times import GraphTimes
from tiphys.apiserver.authz.rbac import Rbac
from tiphys.apiserver.registry.feed import Feed
from tiphys.apiserver.registry.objects import Cached, ObjectStore

_GROUP = "rbac.authorization.k8s.io"


def rbac_feeds(store: ObjectStore, table: Any, rbac: Rbac) -> list[Feed]:
    """Return the feeds of roles and bindings."""

    def role(old: Cached | None, new: Cached | None) -> None:
        if new is not None:
            rbac.set_role(new.object)
        elif old is not None:
            rbac.remove_role(old.namespace, old.name)

    def binding(old: Cached | None, new: Cached | None) -> None:
        if new is not None:
            rbac.set_binding(new.object)
        elif old is not None:
            rbac.remove_binding(old.namespace, old.name)

    plurals = (
        ("roles", role), ("clusterroles", role), ("rolebindings", binding), ("clusterrolebindings", binding)
    )  # fmt: skip
    return [Feed(store, table.by_path(_GROUP, "v1", plural), handler) for plural, handler in plurals]


def node_feeds(store: ObjectStore, table: Any, graph: NodeGraph, times: GraphTimes) -> list[Feed]:
    """Return the feeds of the node authorizer's graph."""
    around, always = times.around, itertools.count(1).__next__
    pods = around("Pod", graph.observe_pod, lambda pod: pod.fields.get("spec.nodeName"))
    volumes = around("PV", graph.observe_volume, lambda _: always())
    attachments = around("VolumeAttachment", graph.observe_attachment, _node_of)
    slices = around("ResourceSlice", graph.observe_slice, lambda _: True)
    requests = around("PodCertificateRequest", graph.observe_pod_certificate, lambda _: True)
    followed = (
        ("", "v1", "pods", pods),
        ("", "v1", "persistentvolumes", volumes),
        ("storage.k8s.io", "v1", "volumeattachments", attachments),
        ("resource.k8s.io", "v1", "resourceslices", slices),
        ("certificates.k8s.io", "v1beta1", "podcertificaterequests", requests),
    )
    rows = ((table.by_path(*found), handler) for *found, handler in followed)
    return [Feed(store, row, handler) for row, handler in rows if row is not None]


def _node_of(cached: Cached) -> object:
    return (cached.object.get("spec") or {}).get("nodeName")
