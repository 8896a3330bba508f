"""``/configz``: the settings that this scheduler works with, as a ``KubeSchedulerConfiguration``. Pure.

It is the document that was given, with what flags and defaults add to it: a scheduler that is started with it
works in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

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
        "leaderElection": options.election.settings(leads=options.leader_elect),
        "podInitialBackoffSeconds": int(settings.initial_backoff_s),
        "podMaxBackoffSeconds": int(settings.max_backoff_s),
        "profiles": [{**given, "schedulerName": one.name} for given, one in profiles],
    }
