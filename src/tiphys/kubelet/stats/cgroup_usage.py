"""What a cgroup uses: CPU time and working set, in v1, v2 or both at once. Blocking reads of small files.

Owns: where each figure is kept. None where the tree does not say.
"""

from __future__ import annotations

from pathlib import Path

from tiphys.apimachinery.dataclass import dataclass

_MOUNT = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class CgroupUsage:
    """Since the cgroup was made, and now."""

    cpu_ns: int
    working_set_bytes: int


def read(path: str, mount: Path = _MOUNT) -> CgroupUsage | None:
    """Return the usage of the cgroup at ``path`` (with everything below it)."""
    name = path.strip("/")
    if (mount / "cgroup.controllers").exists():
        return _v2(mount / name)
    cpu, memory = _tree(mount, "cpuacct", "cpu,cpuacct", "cpu"), _tree(mount, "memory")
    if cpu is None or memory is None:
        return None
    try:
        spent = int((cpu / name / "cpuacct.usage").read_text())
        used = int((memory / name / "memory.usage_in_bytes").read_text())
        idle = _field(memory / name / "memory.stat", "total_inactive_file")
    except (OSError, ValueError):
        return None
    return CgroupUsage(spent, max(used - idle, 0))


def _v2(folder: Path) -> CgroupUsage | None:
    try:
        spent = _field(folder / "cpu.stat", "usage_usec") * 1000
        used = int((folder / "memory.current").read_text())
        idle = _field(folder / "memory.stat", "inactive_file")
    except (OSError, ValueError):
        return None
    return CgroupUsage(spent, max(used - idle, 0))


def _tree(mount: Path, *names: str) -> Path | None:
    return next((mount / name for name in names if (mount / name).is_dir()), None)


def _field(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    raise ValueError(f"{path} says nothing of {name}")
