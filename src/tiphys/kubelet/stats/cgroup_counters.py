"""Everything that a cgroup and a network namespace count, in v1, v2 or both at once.

Blocking reads of small files. Owns where each figure is kept; None where the kernel does not say.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from tiphys.apimachinery.dataclass import dataclass

_MOUNT = Path("/sys/fs/cgroup")
_UNLIMITED = 1 << 62
"""Beyond what any machine has: no limit."""


@dataclass(frozen=True, slots=True)
class Counters:
    """Times in nanoseconds, sizes in bytes."""

    cpu_user: int | None = None
    cpu_system: int | None = None
    cfs_periods: int | None = None
    cfs_throttled_periods: int | None = None
    cfs_throttled: int | None = None
    cpu_shares: int | None = None
    cpu_period: int | None = None
    cpu_quota: int | None = None
    memory_usage: int | None = None
    memory_max_usage: int | None = None
    memory_failures: int | None = None
    memory_limit: int | None = None
    """0: none."""
    memory_cache: int | None = None
    memory_rss: int | None = None
    memory_mapped: int | None = None
    memory_swap: int | None = None
    memory_inactive_file: int | None = None
    page_faults: int | None = None
    major_page_faults: int | None = None
    oom_kills: int | None = None
    processes: int | None = None


@dataclass(frozen=True, slots=True)
class Interface:
    """What one network interface has carried."""

    name: str
    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int


def read_counters(path: str, mount: Path = _MOUNT) -> Counters:
    """Return what the cgroup at ``path`` counts."""
    name = path.strip("/")
    found = _v2(mount / name) if (mount / "cgroup.controllers").exists() else _v1(mount, name)
    known = {item.name for item in fields(Counters)}
    return Counters(**{key: value for key, value in found.items() if key in known})


def _v1(mount: Path, name: str) -> dict[str, int | None]:
    cpu, memory = _tree(mount, "cpu", "cpu,cpuacct") / name, mount / "memory" / name
    time, throttled, stat = (
        _table(_tree(mount, "cpuacct", "cpu,cpuacct", "cpu") / name / "cpuacct.stat"),
        _table(cpu / "cpu.stat"),
        _table(memory / "memory.stat"),
    )
    return {
        # Ticks of a hundredth of a second, on every machine there is.
        "cpu_user": _scaled(time.get("user"), 10_000_000),
        "cpu_system": _scaled(time.get("system"), 10_000_000),
        "cfs_periods": throttled.get("nr_periods"),
        "cfs_throttled_periods": throttled.get("nr_throttled"),
        "cfs_throttled": throttled.get("throttled_time"),
        "cpu_shares": _number(cpu / "cpu.shares"),
        "cpu_period": _number(cpu / "cpu.cfs_period_us"),
        "cpu_quota": _number(cpu / "cpu.cfs_quota_us"),
        "memory_usage": _number(memory / "memory.usage_in_bytes"),
        "memory_max_usage": _number(memory / "memory.max_usage_in_bytes"),
        "memory_failures": _number(memory / "memory.failcnt"),
        "memory_limit": _limit(_number(memory / "memory.limit_in_bytes")),
        "memory_cache": stat.get("total_cache"),
        "memory_rss": stat.get("total_rss"),
        "memory_mapped": stat.get("total_mapped_file"),
        "memory_swap": stat.get("total_swap", 0 if stat else None),
        "memory_inactive_file": stat.get("total_inactive_file"),
        "page_faults": stat.get("total_pgfault"),
        "major_page_faults": stat.get("total_pgmajfault"),
        "oom_kills": _table(memory / "memory.oom_control").get("oom_kill"),
        "processes": _number(mount / "pids" / name / "pids.current"),
    }


def _v2(folder: Path) -> dict[str, int | None]:
    cpu, stat = _table(folder / "cpu.stat"), _table(folder / "memory.stat")
    quota, _, period = _text(folder / "cpu.max").partition(" ")
    weight = _number(folder / "cpu.weight")
    return {
        "cpu_user": _scaled(cpu.get("user_usec"), 1000),
        "cpu_system": _scaled(cpu.get("system_usec"), 1000),
        "cfs_periods": cpu.get("nr_periods"),
        "cfs_throttled_periods": cpu.get("nr_throttled"),
        "cfs_throttled": _scaled(cpu.get("throttled_usec"), 1000),
        "cpu_shares": None if weight is None else 2 + (weight - 1) * 262142 // 9999,
        "cpu_period": _parsed(period),
        "cpu_quota": _parsed(quota),
        "memory_usage": _number(folder / "memory.current"),
        "memory_max_usage": _number(folder / "memory.peak"),
        "memory_failures": _table(folder / "memory.events").get("max"),
        "memory_limit": 0
        if _text(folder / "memory.max") == "max"
        else _limit(_number(folder / "memory.max")),
        "memory_cache": stat.get("file"),
        "memory_rss": stat.get("anon"),
        "memory_mapped": stat.get("file_mapped"),
        "memory_swap": _number(folder / "memory.swap.current"),
        "memory_inactive_file": stat.get("inactive_file"),
        "page_faults": stat.get("pgfault"),
        "major_page_faults": stat.get("pgmajfault"),
        "oom_kills": _table(folder / "memory.events").get("oom_kill"),
        "processes": _number(folder / "pids.current"),
    }


def first_process(path: str, mount: Path = _MOUNT) -> int | None:
    """Return a process of a cgroup, or None."""
    name = path.strip("/")
    trees = [mount] if (mount / "cgroup.controllers").exists() else [mount / "pids", mount / "memory"]
    for tree in trees:
        if words := _text(tree / name / "cgroup.procs").split():
            return _parsed(words[0])
    return None


def read_network(pid: int, proc: Path = Path("/proc")) -> list[Interface]:
    """Return the interfaces of a process's network namespace but for its own loop."""
    found = []
    for line in _text(proc / str(pid) / "net/dev").splitlines()[2:]:
        name, _, figures = line.partition(":")
        values = [_parsed(word) or 0 for word in figures.split()]
        if name.strip() != "lo" and len(values) >= 12:
            rx, tx = values[:4], values[8:12]
            found.append(Interface(name.strip(), *rx, *tx))
    return found


def _tree(mount: Path, *names: str) -> Path:
    """Return the hierarchy that is there: controllers may share one."""
    return next((mount / name for name in names if (mount / name).is_dir()), mount / names[0])


def _limit(value: int | None) -> int | None:
    return 0 if value is not None and value >= _UNLIMITED else value


def _scaled(value: int | None, factor: int) -> int | None:
    return None if value is None else value * factor


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return ""


def _parsed(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _number(path: Path) -> int | None:
    return _parsed(_text(path))


def _table(path: Path) -> dict[str, int]:
    pairs = (line.partition(" ") for line in _text(path).splitlines())
    return {key: number for key, _, value in pairs if (number := _parsed(value)) is not None}
