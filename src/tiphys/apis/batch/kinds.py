"""The strategies of the ``batch`` group."""

from __future__ import annotations

from tiphys.apimachinery.meta import GVK
from tiphys.apis.batch import defaults
from tiphys.apis.strategy import Strategy

STRATEGIES: tuple[Strategy, ...] = (
    Strategy(
        GVK("batch", "v1", "Job"),
        default=defaults.default_job,
        prepare_create=defaults.prepare_job,
        has_generation=True,
    ),
    Strategy(
        GVK("batch", "v1", "CronJob"),
        default=defaults.default_cron_job,
        prepare_create=defaults.prepare_cron_job,
        has_generation=True,
    ),
)
