"""The strategies of the ``apps`` group."""

from __future__ import annotations

from tiphys.apimachinery import names
from tiphys.apimachinery.meta import GVK
from tiphys.apis.apps import (
    daemon_validation,
    defaults,
    stateful_validation,
    status_validation,
    validation,
)
from tiphys.apis.core.pod_warnings import named_template_warnings, template_warnings
from tiphys.apis.ratchet import POD_EXCUSES, Validate, ValidateUpdate, ratcheted
from tiphys.apis.strategy import Strategy, nothing


def _apps(kind: str) -> GVK:
    return GVK("apps", "v1", kind)


def _ratcheted(update: ValidateUpdate, create: Validate) -> ValidateUpdate:
    return ratcheted(update, create, *POD_EXCUSES)


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        _apps("Deployment"),
        default=defaults.default_deployment,
        default_status=nothing,
        prepare_create=defaults.prepare_deployment,
        prepare_update=defaults.prepare_deployment_update,
        validate=validation.validate_deployment,
        validate_update=_ratcheted(validation.validate_deployment_update, validation.validate_deployment),
        validate_status_update=status_validation.validate_deployment_status,
        status_resets=("labels",),
        warnings=named_template_warnings,
        has_generation=True,
    ),
    Strategy(
        _apps("ReplicaSet"),
        default=defaults.default_replica_set,
        default_status=nothing,
        prepare_create=defaults.prepare_replica_set,
        validate=validation.validate_replica_set,
        validate_update=_ratcheted(validation.validate_replica_set_update, validation.validate_replica_set),
        validate_status_update=status_validation.validate_replica_set_status,
        status_resets=(),
        warnings=named_template_warnings,
        has_generation=True,
    ),
    Strategy(
        _apps("StatefulSet"),
        default=defaults.default_stateful_set,
        default_status=nothing,
        prepare_create=defaults.prepare_stateful_set,
        validate=stateful_validation.validate_stateful_set,
        validate_update=_ratcheted(
            stateful_validation.validate_stateful_set_update, stateful_validation.validate_stateful_set
        ),
        validate_status_update=status_validation.validate_stateful_set_status,
        status_resets=(),
        validate_name=names.is_dns1123_label,
        warnings=stateful_validation.stateful_set_warnings,
        has_generation=True,
    ),
    Strategy(
        _apps("DaemonSet"),
        default=defaults.default_daemon_set,
        default_status=defaults.default_daemon_set_count,
        prepare_create=defaults.prepare_daemon_set,
        prepare_update=defaults.prepare_daemon_set_update,
        prepare_status_update=defaults.prepare_daemon_set_status,
        validate=daemon_validation.validate_daemon_set,
        validate_update=_ratcheted(
            daemon_validation.validate_daemon_set_update, daemon_validation.validate_daemon_set
        ),
        validate_status_update=status_validation.validate_daemon_set_status,
        status_resets=(),
        warnings=template_warnings,
        has_generation=True,
    ),
    Strategy(
        _apps("ControllerRevision"),
        default=defaults.default_revision,
        validate=daemon_validation.validate_revision,
        validate_update=daemon_validation.validate_revision_update,
    ),
)
