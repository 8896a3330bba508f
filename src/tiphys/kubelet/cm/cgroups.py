"""The cgroups of pods: v1, v2, or both at once.

Owns ``<root>[/burstable|/besteffort]/pod<uid>``: makes it with the pod's sums as limits and removes it.
Where the tree may not be written, pods run without one of their own, and that is said once.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from tiphys.apimachinery.meta import Object
from tiphys.kubelet.cm.qos import BEST_EFFORT, BURSTABLE, qos_class
from tiphys.kubelet.cm.resources import pod_linux_resources

log = logging.getLogger(__name__)

_MOUNT = Path("/sys/fs/cgroup")
_KINDS = {BURSTABLE: "burstable", BEST_EFFORT: "besteffort"}


def shares_to_weight(shares: int) -> int:
    """Return v2's cpu.weight for v1's cpu.shares."""
    return max(1, min(10000, 1 + ((shares - 2) * 9999) // 262142))


class Cgroups:
    """``root`` is the node's place in the tree, such as ``/kubepods`` or ``/tiphys/node-1``."""

    def __init__(self, root: str, mount: Path = _MOUNT) -> None:
        self.root = "/" + root.strip("/")
        self._mount = mount
        self.version = 2 if (mount / "cgroup.controllers").exists() else 1
        self.usable = self._probe()
        if not self.usable:
            log.warning("cgroups cannot be made, pods run without limits of their own root=%s", self.root)

    def _hierarchies(self) -> Iterator[Path]:
        """Every tree there is; the hybrid has v1 controllers and a v2 tree beside them."""
        if self.version == 2:
            yield self._mount
            return
        if self._mount.is_dir():
            for path in sorted(self._mount.iterdir()):
                if path.is_dir() and not path.is_symlink() and (path / "cgroup.procs").exists():
                    yield path

    def _probe(self) -> bool:
        found = False
        try:
            for tree in self._hierarchies():
                (tree / self.root[1:]).mkdir(parents=True, exist_ok=True)
                found = True
        except OSError:
            return False
        return found

    def parent(self, pod: Object) -> str:
        """Return the pod's cgroup, or "" where there can be none."""
        if not self.usable:
            return ""
        kind = _KINDS.get(qos_class(pod), "")
        return "/".join(part for part in (self.root, kind, f"pod{pod['metadata']['uid']}") if part)

    def apply(self, pod: Object) -> None:
        """Make the pod's cgroup with its limits; what the kernel refuses is left at its default."""
        parent = self.parent(pod)
        if not parent:
            return
        limits = pod_linux_resources(pod)
        for tree in self._hierarchies():
            folder = tree / parent[1:]
            try:
                self._make(tree, parent)
            except OSError as error:
                log.debug("cgroup not made path=%s error=%s", folder, error)
                continue
            for name, text in self._values(tree.name, limits).items():
                _write(folder / name, text)

    def _make(self, tree: Path, parent: str) -> None:
        folder = tree
        for part in parent.strip("/").split("/"):
            if self.version == 2:
                wanted = [f"+{name}" for name in ("cpu", "memory", "pids", "cpuset", "io")]
                for item in wanted:
                    _write(folder / "cgroup.subtree_control", item)
            above, folder = folder, folder / part
            folder.mkdir(exist_ok=True)
            if tree.name == "cpuset":
                _inherit_cpuset(above, folder)

    def _values(self, tree: str, limits: dict[str, int]) -> dict[str, str]:
        quota, period = limits.get("cpu_quota"), limits.get("cpu_period", 100_000)
        memory = limits.get("memory_limit_in_bytes")
        if self.version == 2:
            values = {
                "cpu.weight": str(shares_to_weight(limits["cpu_shares"])),
                "cpu.max": f"{quota or 'max'} {period}",
            }
            return {**values, "memory.max": str(memory)} if memory else values
        if tree == "cpu":
            values = {"cpu.shares": str(limits["cpu_shares"]), "cpu.cfs_period_us": str(period)}
            return {**values, "cpu.cfs_quota_us": str(quota or -1)}
        if tree == "memory" and memory:
            return {"memory.limit_in_bytes": str(memory)}
        return {}

    def find(self, uid: str) -> str:
        """Return the cgroup that a pod has, or ""."""
        for tree in self._hierarchies() if self.usable else ():
            for kind in ("", "burstable", "besteffort"):
                parts = [part for part in (self.root, kind, f"pod{uid}") if part]
                path = "/".join(parts)
                if (tree / path[1:]).is_dir():
                    return path
        return ""

    def memory_usage(self, pod: Object) -> int | None:
        """Return the bytes that all of the pod uses, or None where nothing tells."""
        parent = self.parent(pod)
        name = "memory.current" if self.version == 2 else "memory.usage_in_bytes"
        for tree in self._hierarchies() if parent else ():
            try:
                return int((tree / parent[1:] / name).read_text())
            except (OSError, ValueError):
                continue
        return None

    def remove(self, uid: str) -> None:
        """Remove the pod's cgroup wherever it is; one that is still in use stays for the next time."""
        if not self.usable:
            return
        for tree in self._hierarchies():
            for kind in ("", "burstable", "besteffort"):
                folder = tree / self.root[1:] / kind / f"pod{uid}"
                if folder.is_dir():
                    _remove_tree(folder)

    def remove_root(self) -> None:
        """Remove the node's whole tree, once nothing runs in it."""
        for tree in self._hierarchies():
            folder = tree / self.root[1:]
            if folder.is_dir():
                _remove_tree(folder)

    def known_pods(self) -> set[str]:
        """Return the UIDs that have a cgroup."""
        found = set()
        for tree in self._hierarchies() if self.usable else ():
            for kind in ("", "burstable", "besteffort"):
                folder = tree / self.root[1:] / kind
                if folder.is_dir():
                    found |= {path.name[3:] for path in folder.iterdir() if path.name.startswith("pod")}
        return found


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        log.debug("cgroup value not set path=%s error=%s", path, error)


def _inherit_cpuset(above: Path, folder: Path) -> None:
    """A v1 cpuset starts empty, and nothing can run in it."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (folder / name).exists() and not (folder / name).read_text().strip():
            _write(folder / name, (above / name).read_text().strip())


def _remove_tree(folder: Path) -> None:
    for parent, folders, _ in os.walk(folder, topdown=False):
        for name in folders:
            _rmdir(Path(parent, name))
    _rmdir(folder)


def _rmdir(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError as error:
        log.debug("cgroup stays path=%s error=%s", folder, error)
