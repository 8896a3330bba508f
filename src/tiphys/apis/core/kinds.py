"""The strategies of the core group, and of events in both groups."""

from __future__ import annotations

from tiphys.apimachinery import names
from tiphys.apimachinery.meta import GVK
from tiphys.apis.apps import validation as workloads
from tiphys.apis.apps.status_validation import validate_replication_controller_status
from tiphys.apis.core import config_validation as config
from tiphys.apis.core import endpoints_validation as endpoints
from tiphys.apis.core import event_validation as events
from tiphys.apis.core import limits_validation as limits
from tiphys.apis.core import node_validation as nodes
from tiphys.apis.core import object_defaults as objects
from tiphys.apis.core import object_warnings as warnings
from tiphys.apis.core import persistent_validation as persistent
from tiphys.apis.core import pod_status, pod_update
from tiphys.apis.core import service_validation as services
from tiphys.apis.core.address_warnings import balancer_warnings, pod_status_warnings
from tiphys.apis.core.pod_defaults import default_pod, default_pod_status
from tiphys.apis.core.pod_strategy import prepare_pod, prepare_pod_status, prepare_pod_update
from tiphys.apis.core.pod_validation import validate_pod
from tiphys.apis.core.pod_warnings import named_template_warnings, pod_warnings
from tiphys.apis.core.service_defaults import (
    complete_stored_service,
    default_endpoints,
    default_service,
)
from tiphys.apis.core.service_warnings import service_warnings
from tiphys.apis.core.template_validation import validate_pod_template, validate_pod_template_update
from tiphys.apis.core.tls_pairs import secret_warnings
from tiphys.apis.ratchet import (
    LEGACY_ADDRESSES,
    NODE_VALUES,
    POD_EXCUSES,
    SELECTOR_VALUES,
    kept,
    ratcheted,
)
from tiphys.apis.strategy import Strategy


def _core(kind: str) -> GVK:
    return GVK("", "v1", kind)


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        _core("Pod"),
        default=default_pod,
        default_status=default_pod_status,
        prepare_create=prepare_pod,
        prepare_update=prepare_pod_update,
        prepare_status_update=prepare_pod_status,
        validate=validate_pod,
        validate_update=ratcheted(pod_update.validate_pod_update, validate_pod, *POD_EXCUSES),
        validate_status_update=ratcheted(
            pod_status.validate_status_update,
            lambda old: pod_status.validate_status_update(old, old),
            *LEGACY_ADDRESSES,
        ),
        warnings=pod_warnings,
        status_warnings=pod_status_warnings,
        has_generation=True,
        graceful_deletion=True,
        status_resets=("ownerReferences",),
    ),
    Strategy(
        _core("Service"),
        default=default_service,
        complete_stored=complete_stored_service,
        prepare_create=objects.prepare_service,
        validate=services.validate_service,
        validate_update=ratcheted(
            services.validate_service_update, services.validate_service, *LEGACY_ADDRESSES
        ),
        validate_status_update=ratcheted(
            services.validate_service_status,
            lambda old: services.validate_service_status(old, old),
            *LEGACY_ADDRESSES,
        ),
        validate_name=services.service_name,
        warnings=service_warnings,
        status_warnings=balancer_warnings,
        allow_create_on_update=True,
        status_resets=(),
    ),
    Strategy(
        _core("ReplicationController"),
        default=objects.default_replication_controller,
        prepare_create=objects.prepare_replication_controller,
        validate=workloads.validate_replication_controller,
        validate_update=ratcheted(
            workloads.validate_replication_controller_update,
            workloads.validate_replication_controller,
            *POD_EXCUSES,
        ),
        validate_status_update=validate_replication_controller_status,
        warnings=named_template_warnings,
        has_generation=True,
        orphans_dependents=True,
        status_resets=(),
    ),
    Strategy(
        _core("PodTemplate"),
        default=objects.default_pod_template,
        validate=validate_pod_template,
        validate_update=ratcheted(validate_pod_template_update, validate_pod_template, *POD_EXCUSES),
        warnings=warnings.pod_template_warnings,
        has_generation=True,
    ),
    Strategy(
        _core("Endpoints"),
        default=default_endpoints,
        validate=endpoints.validate_endpoints,
        validate_update=kept(endpoints.validate_endpoints, "subsets"),
        warnings=warnings.endpoints_warnings,
        allow_create_on_update=True,
    ),
    Strategy(
        _core("ConfigMap"),
        validate=config.validate_config_map,
        validate_update=config.validate_config_map_update,
    ),
    Strategy(
        _core("Secret"),
        default=objects.default_secret,
        validate=config.validate_secret,
        validate_update=config.validate_secret_update,
        warnings=secret_warnings,
    ),
    Strategy(
        _core("Namespace"),
        default=objects.default_namespace,
        prepare_create=objects.prepare_namespace,
        prepare_update=objects.prepare_namespace_update,
        validate=nodes.validate_namespace,
        validate_status_update=nodes.validate_namespace_status,
        validate_name=names.is_dns1123_label,
        status_resets=(),
    ),
    Strategy(
        _core("Node"),
        default=objects.default_node,
        default_status=objects.default_node_status,
        prepare_create=objects.prepare_node,
        prepare_update=objects.prepare_node_update,
        prepare_status_update=objects.prepare_node_status,
        validate=nodes.validate_node,
        validate_update=ratcheted(nodes.validate_node_update, nodes.validate_node, *LEGACY_ADDRESSES),
        validate_status_update=ratcheted(nodes.validate_node_status, nodes.validate_node, *LEGACY_ADDRESSES),
        warnings=warnings.node_warnings,
        status_resets=(),
    ),
    Strategy(
        _core("ServiceAccount"),
        prepare_create=objects.prepare_account,
        prepare_update=lambda new, _old: objects.prepare_account(new),
        warnings=warnings.account_warnings,
    ),
    Strategy(
        _core("PersistentVolume"),
        default=objects.default_persistent_volume,
        prepare_create=objects.prepare_persistent_volume,
        stamp=objects.stamp_persistent_volume,
        validate=persistent.validate_volume,
        validate_update=ratcheted(persistent.validate_volume_update, persistent.validate_volume, NODE_VALUES),
        warnings=warnings.volume_warnings,
        status_resets=(),
    ),
    Strategy(
        _core("PersistentVolumeClaim"),
        default=objects.default_claim,
        complete_stored=objects.complete_stored_claim,
        prepare_create=objects.prepare_claim,
        prepare_update=objects.prepare_claim_update,
        validate=persistent.validate_claim,
        validate_update=ratcheted(
            persistent.validate_claim_update, persistent.validate_claim, SELECTOR_VALUES
        ),
        validate_status_update=persistent.validate_claim_status,
        warnings=warnings.claim_warnings,
        status_resets=(),
    ),
    Strategy(
        _core("ResourceQuota"),
        default=objects.default_quota,
        validate=limits.validate_quota,
        validate_update=limits.validate_quota_update,
        validate_status_update=limits.validate_quota_status,
        status_resets=(),
    ),
    Strategy(
        _core("LimitRange"),
        default=objects.default_limit_range,
        prepare_create=objects.prepare_limit_range,
        validate=limits.validate_limit_range,
        validate_update=limits.validate_limit_range_update,
        allow_create_on_update=True,
    ),
    Strategy(
        _core("Event"),
        metadata_after=True,
        default=objects.default_event,
        validate=events.validate_event,
        validate_name=names.is_path_segment_name,
        validate_update=lambda new, _old: events.validate_event(new),
        allow_create_on_update=True,
        has_dependents=False,
    ),
    Strategy(
        GVK("events.k8s.io", "v1", "Event"),
        default=objects.default_event,
        validate=events.validate_new_event,
        validate_update=events.validate_new_event_update,
        allow_create_on_update=True,
        has_dependents=False,
    ),
)
