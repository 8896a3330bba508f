"""Whether what happened to one object can turn a plugin's verdict on a pod that waits. Pure.

Owns: what is told of an event, and asking the plugins. Refuses: which events concern a plugin at all
(``queue.HELPS``) and the answers themselves, which plugins give in ``turns(info, change, columns)``. A plugin
without it, and one that nobody knows, may be helped by everything. Saying yes in vain costs a try; saying no
in vain costs the pod minutes. Source: KEP-4247 (queueing hints).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.scheduler.columns import Columns
from tiphys.scheduler.framework import Profile
from tiphys.scheduler.podinfo import PodInfo

Turns: TypeAlias = "Callable[[PodInfo, Change, Columns], bool]"
Hint: TypeAlias = Callable[[str, PodInfo], bool]
"""Asked of a plugin's name and a pod."""


@dataclass(frozen=True, slots=True)
class Change:
    """What happened: to a placed pod (``before``, ``after``), or to another object (``old``, ``new``).

    Nothing of all that is said where nobody knows: then everything may have changed.
    """

    event: str
    """A key of ``queue.HELPS``."""
    before: PodInfo | None = None
    after: PodInfo | None = None
    old: Object | None = None
    new: Object | None = None
    resource: str = ""
    """The plural of what ``old`` and ``new`` are, where an event can be about several."""

    @property
    def is_vague(self) -> bool:
        return all(one is None for one in (self.before, self.after, self.old, self.new))

    @property
    def is_node(self) -> bool:
        return self.event.startswith("node-")

    @property
    def relabelled(self) -> bool:
        """Whether a node came, or has other labels than before."""
        return self.old is None or _labels(self.old) != _labels(self.new)


def _labels(node: Object | None) -> Mapping[str, str]:
    labels: Mapping[str, str] = (node or {}).get("metadata", {}).get("labels") or {}
    return labels


class Hints:
    """Asks the plugins of each pod's profile."""

    def __init__(
        self, profiles: Mapping[str, Profile], profile_of: Callable[[Object], str], columns: Columns
    ) -> None:
        self._columns = columns
        self._profile_of = profile_of
        self._turns: dict[tuple[str, str], list[Turns | None]] = {}
        for name, profile in profiles.items():
            for plugin in profile.filters:
                self._turns.setdefault((name, plugin.name), []).append(getattr(plugin, "turns", None))

    def of(self, change: Change) -> Hint | None:
        """Return what tells whether a change may turn a plugin's verdict on a pod; None: it may turn all."""
        if change.is_vague:
            return None

        def hint(plugin: str, info: PodInfo) -> bool:
            asked = self._turns.get((self._profile_of(info.pod), plugin))
            return not asked or any(turns is None or turns(info, change, self._columns) for turns in asked)

        return hint
