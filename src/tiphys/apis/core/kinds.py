"""The strategies of the core group, and of events in both groups."""

from __future__ import annotations

from tiphys.apimachinery.meta import GVK
from tiphys.apis.core import object_defaults as objects
from tiphys.apis.core.pod_defaults import default_pod
from tiphys.apis.core.pod_strategy import prepare_pod, prepare_pod_update
from tiphys.apis.core.service_defaults import default_endpoints, default_service
from tiphys.apis.strategy import Strategy


def _core(kind: str) -> GVK:
    return GVK("", "v1", kind)


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        _core("Pod"),
        default=default_pod,
        prepare_create=prepare_pod,
        prepare_update=prepare_pod_update,
        has_generation=True,
        graceful_deletion=True,
    ),
    Strategy(
        _core("Service"),
        default=default_service,
        allow_create_on_update=True,
    ),
    Strategy(
        _core("ReplicationController"),
        default=objects.default_replication_controller,
        has_generation=True,
    ),
    Strategy(_core("PodTemplate"), default=objects.default_pod_template, has_generation=True),
    Strategy(_core("Endpoints"), default=default_endpoints, allow_create_on_update=True),
    Strategy(_core("ConfigMap")),
    Strategy(_core("Secret"), default=objects.default_secret),
    Strategy(
        _core("Namespace"),
        default=objects.default_namespace,
        prepare_create=objects.prepare_namespace,
        prepare_update=objects.prepare_namespace_update,
    ),
    Strategy(_core("Node"), default=objects.default_node),
    Strategy(_core("ServiceAccount")),
    Strategy(
        _core("PersistentVolume"),
        default=objects.default_persistent_volume,
        prepare_create=objects.prepare_persistent_volume,
    ),
    Strategy(
        _core("PersistentVolumeClaim"),
        default=objects.default_claim,
        prepare_create=objects.prepare_claim,
    ),
    Strategy(_core("ResourceQuota")),
    Strategy(_core("LimitRange"), default=objects.default_limit_range, allow_create_on_update=True),
    Strategy(_core("Event"), default=objects.default_event, allow_create_on_update=True),
    Strategy(GVK("events.k8s.io", "v1", "Event"), allow_create_on_update=True),
)
