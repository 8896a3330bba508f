"""``/configz``: the settings that this scheduler works with, as a ``KubeSchedulerConfiguration``. Pure.

It is the document that was given, with what flags and defaults add to it: a scheduler that is started with it
works in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tiphys.apimachinery.duration import go_duration
from tiphys.client.leaderelection import Election
from tiphys.scheduler.config import API_VERSION, KIND
from tiphys.scheduler.scheduler import SchedulerOptions

GROUP: Final = API_VERSION.partition("/")[0]


def configuration(options: SchedulerOptions, document: Mapping[str, Any], kubeconfig: str) -> dict[str, Any]:
    """Return the document that clients read under the group; ``document``: the one that was given, or {}."""
    settings = options.settings()
    profiles = zip(document.get("profiles") or [{}], settings.profiles, strict=True)
    return {
        **document,
        "apiVersion": API_VERSION,
        "kind": KIND,
        "clientConnection": {**(document.get("clientConnection") or {}), "kubeconfig": kubeconfig},
        "leaderElection": _election(options.election, leads=options.leader_elect),
        "podInitialBackoffSeconds": int(settings.initial_backoff_s),
        "podMaxBackoffSeconds": int(settings.max_backoff_s),
        "profiles": [{**given, "schedulerName": one.name} for given, one in profiles],
    }


def _election(election: Election, *, leads: bool) -> dict[str, Any]:
    times = election.timings
    return {
        "leaderElect": leads,
        "leaseDuration": go_duration(times.lease_s),
        "renewDeadline": go_duration(times.renew_deadline_s),
        "retryPeriod": go_duration(times.retry_s),
        "resourceLock": "leases",
        "resourceName": election.name,
        "resourceNamespace": election.namespace,
    }
