"""A folder of manifests that one plugin has its webhooks or policies from, looked at again and again.

Owns: that faulty files stop a start but change nothing later on, and what is counted of it.
Source: the "Manifest-Based Admission Control" page.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import copy_context
from typing import Final

from tiphys.apimachinery.clock import Clock, RealClock
from tiphys.apimachinery.families import CounterMetricFamily, GaugeMetricFamily, Metric
from tiphys.apiserver.admission.manifests import files
from tiphys.apiserver.admission.manifests.loading import Manifests, load
from tiphys.apiserver.config_files import BadConfiguration
from tiphys.apiserver.controlplane.identity import own_hash

log = logging.getLogger(__name__)
_NAME: Final = "apiserver_manifest_admission_config_controller"


class Source:
    """The manifests of one plugin."""

    def __init__(
        self,
        plugin: str,
        folder: str,
        kinds: Sequence[str],
        take: Callable[[Manifests], None],
        clock: Clock | None = None,
    ) -> None:
        """Hand what is in the folder to ``take``, now and after each change. Raises BadConfiguration."""
        self.plugin = plugin
        self._folder = folder
        self._kinds = kinds
        self._take = take
        self._clock = clock or RealClock()
        self._rules = copy_context()
        """With the feature gates of the server, under which later changes are judged as well."""
        self.counts = {"success": 0, "failure": 0}
        self.last_s: dict[str, float] = {}
        self.hash = ""
        found = files.read(folder)
        self._seen = found.hash
        """What was looked at last: its hash, or why it could not be read."""
        self._apply(found)

    def _apply(self, found: files.Files) -> None:
        self._take(self._rules.run(load, found, self._kinds))
        self.hash = found.hash
        self._note("success")

    def reload(self) -> None:
        """Look whether anything has changed. What is faulty is told of once, and changes nothing."""
        try:
            found = files.read(self._folder)
        except BadConfiguration as error:
            if self._seen != str(error):
                self._seen = str(error)
                self._fail(error)
            return
        if found.hash in (self._seen, self.hash):
            self._seen = found.hash
            return
        self._seen = found.hash
        try:
            self._apply(found)
        except BadConfiguration as error:
            self._fail(error)
        else:
            log.info("reloaded manifests plugin=%s folder=%s", self.plugin, self._folder)

    def _fail(self, error: BadConfiguration) -> None:
        self._note("failure")
        log.error("reloading manifests failed plugin=%s folder=%s: %s", self.plugin, self._folder, error)

    def _note(self, status: str) -> None:
        self.counts[status] += 1
        self.last_s[status] = self._clock.now().timestamp()


def collect(sources: Iterable[Source]) -> Iterator[Metric]:
    """Yield what is counted of all plugins that have manifests."""
    server = own_hash()
    labels = ["status", "plugin", "apiserver_id_hash"]
    what = "admission manifest configuration split by status, plugin, and apiserver identity"
    reloads = CounterMetricFamily(
        f"{_NAME}_automatic_reloads", f"[ALPHA] Total number of automatic reloads of {what}.", labels=labels
    )
    last = GaugeMetricFamily(
        f"{_NAME}_automatic_reload_last_timestamp_seconds",
        f"[ALPHA] Timestamp of the last automatic reload of {what}.",
        labels=labels,
    )
    info = GaugeMetricFamily(
        f"{_NAME}_last_config_info",
        "[ALPHA] Information about the last applied admission manifest configuration with hash as label, "
        "split by plugin and apiserver identity.",
        labels=["plugin", "apiserver_id_hash", "hash"],
    )
    for source in sources:
        for status, count in source.counts.items():
            if count:
                reloads.add_metric([status, source.plugin, server], count)
                last.add_metric([status, source.plugin, server], source.last_s[status])
        info.add_metric([source.plugin, server, source.hash], 1)
    yield from (reloads, last, info)
