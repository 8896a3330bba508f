"""The strategies of the ``apps`` group."""

from __future__ import annotations

from tiphys.apimachinery.meta import GVK
from tiphys.apis.apps import defaults
from tiphys.apis.strategy import Strategy


def _apps(kind: str) -> GVK:
    return GVK("apps", "v1", kind)


STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        _apps("Deployment"),
        default=defaults.default_deployment,
        prepare_create=defaults.prepare_deployment,
        has_generation=True,
    ),
    Strategy(
        _apps("ReplicaSet"),
        default=defaults.default_replica_set,
        prepare_create=defaults.prepare_replica_set,
        has_generation=True,
    ),
    Strategy(
        _apps("StatefulSet"),
        default=defaults.default_stateful_set,
        prepare_create=defaults.prepare_stateful_set,
        has_generation=True,
    ),
    Strategy(
        _apps("DaemonSet"),
        default=defaults.default_daemon_set,
        prepare_create=defaults.prepare_daemon_set,
        prepare_update=defaults.prepare_daemon_set_update,
        has_generation=True,
    ),
    Strategy(_apps("ControllerRevision")),
)
