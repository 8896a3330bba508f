"""The strategies of the ``batch`` group."""

from __future__ import annotations

from tiphys.apimachinery.meta import GVK
from tiphys.apis.batch import cron_validation, defaults, status_validation, validation
from tiphys.apis.ratchet import POD_EXCUSES, ratcheted
from tiphys.apis.strategy import Strategy

STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        GVK("batch", "v1", "Job"),
        default=defaults.default_job,
        prepare_create=defaults.prepare_job,
        labels_of_template=True,
        validate=validation.validate_job,
        validate_update=ratcheted(validation.validate_job_update, validation.validate_job, *POD_EXCUSES),
        validate_status_update=status_validation.validate_job_status,
        status_resets=(),
        orphans_dependents=True,
        warnings=cron_validation.job_warnings,
        has_generation=True,
    ),
    Strategy(
        GVK("batch", "v1", "CronJob"),
        default=defaults.default_cron_job,
        prepare_create=defaults.prepare_cron_job,
        validate=cron_validation.validate_cron_job,
        validate_update=ratcheted(
            cron_validation.validate_cron_job_update, cron_validation.validate_cron_job, *POD_EXCUSES
        ),
        warnings=cron_validation.cron_job_warnings,
        status_resets=(),
        has_generation=True,
    ),
)
