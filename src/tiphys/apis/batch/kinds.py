"""The strategies of the ``batch`` group."""

from __future__ import annotations

from tiphys.apimachinery.meta import GVK
from tiphys.apis.batch import defaults, validation
from tiphys.apis.core.pod_warnings import template_warnings
from tiphys.apis.strategy import Strategy

STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        GVK("batch", "v1", "Job"),
        default=defaults.default_job,
        prepare_create=defaults.prepare_job,
        validate=validation.validate_job,
        validate_update=validation.validate_job_update,
        warnings=template_warnings,
        has_generation=True,
    ),
    Strategy(
        GVK("batch", "v1", "CronJob"),
        default=defaults.default_cron_job,
        prepare_create=defaults.prepare_cron_job,
        validate=validation.validate_cron_job,
        validate_update=validation.validate_cron_job_update,
        warnings=template_warnings,
        has_generation=True,
    ),
)
