"""The strategies of the ``autoscaling`` group."""

from __future__ import annotations

from tiphys.apimachinery.meta import GVK
from tiphys.apis.autoscaling import defaults, validation
from tiphys.apis.strategy import Strategy

_KIND = "HorizontalPodAutoscaler"

STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        GVK("autoscaling", "v2", _KIND),
        default=defaults.default_v2,
        prepare_create=defaults.prepare_v2,
        validate=validation.validate_autoscaler,
        validate_update=validation.validate_autoscaler_update,
        validate_status_update=validation.validate_autoscaler_status,
        status_resets=(),
    ),
    Strategy(
        GVK("autoscaling", "v1", _KIND),
        default=defaults.default_v1,
        prepare_create=defaults.prepare_v1,
        validate=validation.validate_autoscaler_v1,
        validate_update=validation.validate_autoscaler_v1_update,
        validate_status_update=validation.validate_autoscaler_status,
        status_resets=(),
    ),
)
