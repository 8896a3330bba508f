"""A cluster's processes as the machine sees them: containers by pod, shims, components by name."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cluster import RunningCluster

_POD = r"/pod([0-9a-f-]{36})/[0-9a-f]{64}"


@dataclass(frozen=True)
class Process:
    """One process; ``pod`` is the uid of the pod that it is of."""

    pid: int
    parent: int
    name: str
    pod: str = ""


def containers(cluster: RunningCluster) -> list[Process]:
    """Return the processes in containers of the cluster's pods, the sandboxes' too."""
    inside = re.compile(rf"/tiphys{cluster.index}/\S*{_POD}")
    found = []
    for pid in _pids():
        match = inside.search(_text(pid, "cgroup"))
        process = _process(pid, match[1]) if match else None
        if process is not None:
            found.append(process)
    return found


def shims(cluster: RunningCluster) -> list[Process]:
    """Return the shims of the cluster's containerds, each with the pod whose containers are its children."""
    pods = {process.parent: process.pod for process in containers(cluster)}
    found = []
    for pid in _pids():
        argv = _text(pid, "cmdline").split("\0")
        if argv[0].endswith("containerd-shim-runc-v2") and any(str(cluster.folder) in item for item in argv):
            process = _process(pid, pods.get(pid, ""))
            if process is not None:
                found.append(process)
    return found


def guard(cluster: RunningCluster) -> int:
    try:
        return int(json.loads((cluster.folder / "guard.json").read_text())["pid"])
    except (OSError, ValueError):
        return 0


def forked(cluster: RunningCluster) -> Counter[str]:
    """Return how many processes have the name of a component: of this cluster, and forked."""
    home = f"TIPHYS_HOME={cluster.home}\0"
    found: Counter[str] = Counter()
    for pid in _pids():
        process = _process(pid) if home in _text(pid, "environ") else None
        if process is not None and process.name.startswith("t-"):
            found[process.name] += 1
    return found


def name_of(component: str) -> str:
    """Return the process name that a forked component has."""
    return f"t-{component}"[:15]


def is_there(pid: int) -> bool:
    return _process(pid) is not None


def _process(pid: int, pod: str = "") -> Process | None:
    text = _text(pid, "stat")
    if not text:
        return None
    fields = text[text.rindex(")") + 2 :].split()
    if fields[0] in "ZX":
        return None
    return Process(pid, int(fields[1]), text[text.index("(") + 1 : text.rindex(")")], pod)


def _pids() -> Iterator[int]:
    return (int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit())


def _text(pid: int, file: str) -> str:
    try:
        return Path(f"/proc/{pid}/{file}").read_bytes().decode(errors="replace")
    except OSError:
        return ""
