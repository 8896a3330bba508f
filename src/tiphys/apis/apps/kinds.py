"""The strategies of the ``apps`` group."""

from __future__ import annotations

from tiphys.apimachinery.meta import GVK
from tiphys.apis.apps import defaults, validation
from tiphys.apis.core.pod_warnings import template_warnings
from tiphys.apis.strategy import Strategy


def _apps(kind: str) -> GVK:
    return GVK("apps", "v1", kind)


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        _apps("Deployment"),
        default=defaults.default_deployment,
        prepare_create=defaults.prepare_deployment,
        validate=validation.validate_deployment,
        validate_update=validation.validate_deployment_update,
        validate_status_update=validation.validate_status_counts,
        warnings=template_warnings,
        has_generation=True,
    ),
    Strategy(
        _apps("ReplicaSet"),
        default=defaults.default_replica_set,
        prepare_create=defaults.prepare_replica_set,
        validate=validation.validate_replica_set,
        validate_update=validation.validate_replica_set_update,
        validate_status_update=validation.validate_status_counts,
        warnings=template_warnings,
        has_generation=True,
    ),
    Strategy(
        _apps("StatefulSet"),
        default=defaults.default_stateful_set,
        prepare_create=defaults.prepare_stateful_set,
        validate=validation.validate_stateful_set,
        validate_update=validation.validate_stateful_set_update,
        validate_status_update=validation.validate_status_counts,
        warnings=template_warnings,
        has_generation=True,
    ),
    Strategy(
        _apps("DaemonSet"),
        default=defaults.default_daemon_set,
        prepare_create=defaults.prepare_daemon_set,
        prepare_update=defaults.prepare_daemon_set_update,
        validate=validation.validate_daemon_set,
        validate_update=validation.validate_daemon_set_update,
        validate_status_update=validation.validate_status_counts,
        warnings=template_warnings,
        has_generation=True,
    ),
    Strategy(
        _apps("ControllerRevision"),
        validate=validation.validate_revision,
        validate_update=validation.validate_revision_update,
    ),
)
