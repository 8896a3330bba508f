"""How long failed daemons are left lying: a second after the first on a node, doubled for each more.

A kubelet that refuses a daemon would else be given the same one again and again. State without I/O.
"""

from __future__ import annotations

from tiphys.apimachinery.meta import Object

_FIRST_S = 1.0
_MOST_S = 900.0

_Node = tuple[str, int, str]


class Patience:
    """Remembers by DaemonSet (and its generation: a new template gets a new chance) and node."""

    def __init__(self) -> None:
        self._noted: dict[str, dict[_Node, tuple[float, float]]] = {}

    def waits(self, key: str, owner: Object, now_s: float) -> dict[str, float]:
        """Return the nodes whose failed daemons must wait, and for how many seconds."""
        prefix = _prefix(owner)
        noted = self._noted.get(key, {})
        left = {node[2]: at + wait_s - now_s for node, (at, wait_s) in noted.items() if node[:2] == prefix}
        return {node: seconds for node, seconds in left.items() if seconds > 0}

    def note(self, key: str, owner: Object, node: str, now_s: float) -> None:
        """Note that a failed daemon is taken away now: the next must wait longer."""
        prefix = _prefix(owner)
        noted = self._noted.setdefault(key, {})
        for old in [one for one in noted if one[:2] != prefix]:
            del noted[old]
        at, wait_s = noted.get((*prefix, node), (now_s, 0.0))
        forgiven = now_s - at > 2 * _MOST_S
        next_s = _FIRST_S if forgiven or not wait_s else min(wait_s * 2, _MOST_S)
        noted[(*prefix, node)] = (now_s, next_s)

    def forget(self, key: str) -> None:
        self._noted.pop(key, None)


def _prefix(owner: Object) -> tuple[str, int]:
    return owner["metadata"]["uid"], (owner.get("status") or {}).get("observedGeneration") or 0
