"""``tiphys down``: nothing of the cluster is left behind. Works on half a cluster and on a crash's remains.

Ends only processes that are provably the cluster's: recorded with start time, or a containerd (shim) that was
given a socket below the cluster's folder, with what descends from it.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
from dataclasses import field
from pathlib import Path

from tiphys.apimachinery.dataclass import dataclass
from tiphys.ctl import network, state, supervisor
from tiphys.ctl.layout import Cluster, CtlError, Node
from tiphys.ctl.progress import Progress

_STOP_S = 20.0
_CGROUPS = Path("/sys/fs/cgroup")
_RUN = Path("/run/containerd")
_CNI_RESULTS = Path("/var/lib/cni/results")
_ROUNDS = 5


def down(name: str, progress: Progress, *, keep_data: bool = False) -> None:
    """Stop the cluster and remove it; with ``keep_data`` a later ``up`` finds its objects and images again.

    Raises CtlError when another command is at work on it or something cannot be removed.
    """
    folder = state.cluster_folder(name)
    if not folder.is_dir():
        progress.say(f"no cluster {name!r}; nothing to do")
        return
    with state.lock(folder):
        cluster = state.load(name)
        if cluster is not None:
            with progress.step("stopping processes"):
                _stop_supervisor(cluster)
            with progress.step("ending containers"):
                _end_containers(cluster)
            with progress.step("unmounting"):
                _unmount(folder)
            with progress.step("removing the network"):
                network.destroy(cluster)
        if not keep_data:
            with progress.step("removing data"):
                _remove(folder)
    if state.home() == state.DEFAULT_HOME:  # a folder that somebody chose is theirs
        with contextlib.suppress(OSError):
            state.home().rmdir()


def _stop_supervisor(cluster: Cluster) -> None:
    supervisor.end(cluster, _STOP_S)
    # What it recorded last: containerd, and all others when the supervisor had been killed before.
    record = state.read_json(cluster.folder / "processes.json") or {}
    for entry in record.get("components", {}).values():
        state.stop_process(entry.get("pid", 0), entry.get("started", 0), grace_s=3.0)
    for file in ("processes.json", "supervisor.sock"):
        (cluster.folder / file).unlink(missing_ok=True)


@dataclass(slots=True)
class _Proc:
    pid: int
    started: int
    parent: int
    argv: list[str] = field(default_factory=list)


def _processes() -> dict[int, _Proc]:
    found: dict[int, _Proc] = {}
    for path in Path("/proc").iterdir():
        if not path.name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError):
            text = (path / "stat").read_text()
            fields = text[text.rindex(")") + 2 :].split()
            argv = (path / "cmdline").read_bytes().decode(errors="replace").split("\0")
            found[int(path.name)] = _Proc(int(path.name), int(fields[19]), int(fields[1]), argv)
    return found


def _of_node(found: dict[int, _Proc], node: Node) -> list[_Proc]:
    """Return containerds and shims of a node, and every descendant of the shims."""
    socket, config = str(node.containerd_socket), str(node.folder / "containerd.toml")
    roots = [
        item
        for item in found.values()
        if item.argv
        and Path(item.argv[0]).name.startswith("containerd")
        and (socket in item.argv or config in item.argv)
    ]
    chosen = {item.pid: item for item in roots}
    grew = True
    while grew:
        more = [item for item in found.values() if item.parent in chosen and item.pid not in chosen]
        chosen.update({item.pid: item for item in more})
        grew = bool(more)
    return list(chosen.values())


def _groups(cluster: Cluster) -> set[Path]:
    """Return the cluster's own control groups: the nodes' and the pods'."""
    bases = (_CGROUPS, *(path for path in _CGROUPS.iterdir() if path.is_dir()))
    trees = [base / cluster.cgroup.lstrip("/") for base in bases]
    return {path for tree in trees if tree.is_dir() for path in (tree, *tree.rglob("*")) if path.is_dir()}


def _members(groups: set[Path]) -> set[int]:
    """Return who is in control groups: a container whose shim was killed has no parent to tell of it."""
    found: set[int] = set()
    for group in groups:
        with contextlib.suppress(OSError):
            found |= {int(pid) for pid in (group / "cgroup.procs").read_text().split()}
    return found


def _end_containers(cluster: Cluster) -> None:
    groups: set[Path] = set()
    for node in cluster.nodes:
        for _ in range(_ROUNDS):  # one is enough unless something forks at this very moment
            mine = _of_node(_processes(), node)
            if not mine:
                break
            for item in mine:
                groups |= _cgroups(item.pid)
            for item in mine:
                if state.alive(item.pid, item.started):
                    state.send(item.pid, signal.SIGKILL)
            for item in mine:
                state.stop_process(item.pid, item.started, grace_s=0)
        _forget_containers(node)
    own = _groups(cluster)
    for pid in _members(own):
        state.stop_process(pid, state.start_time(pid) or 0, grace_s=0)
    _remove_cgroups(groups | own)


def _cgroups(pid: int) -> set[Path]:
    """Return the folders of a process's control groups that container runtimes make."""
    found = set()
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not path.startswith(("/k8s.io", "/kubepods", "/tiphys")):
                continue
            name = controllers.removeprefix("name=")
            for base in (_CGROUPS / name, _CGROUPS / "unified", _CGROUPS):
                if (base / path.lstrip("/")).is_dir():
                    found.add(base / path.lstrip("/"))
    return found


def _remove_cgroups(groups: set[Path]) -> None:
    """Remove the groups and those above them that are empty now."""
    for group in sorted(groups, key=lambda path: -len(path.parts)):
        for path in (group, *group.parents):
            if path in (_CGROUPS, *_CGROUPS.parents) or (path.parent == _CGROUPS and not _is_ours(path)):
                break
            try:
                path.rmdir()
            except OSError:
                break


def _is_ours(path: Path) -> bool:
    return path.name.startswith(("k8s.io", "kubepods", "tiphys"))


def _forget_containers(node: Node) -> None:
    """Remove what shims, runc and the CNI keep outside of the node's folder."""
    bundles = node.folder / "containerd-state" / "io.containerd.runtime.v2.task" / "k8s.io"
    for bundle in bundles.iterdir() if bundles.is_dir() else ():
        with contextlib.suppress(OSError):
            address = (bundle / "address").read_text().removeprefix("unix://")
            if address.startswith(str(_RUN / "s")):
                Path(address).unlink(missing_ok=True)
        shutil.rmtree(_RUN / "runc" / "k8s.io" / bundle.name, ignore_errors=True)
    for result in _CNI_RESULTS.glob(f"{node.namespace}-*"):
        container = result.name.removeprefix(f"{node.namespace}-").rsplit("-", 1)[0]
        result.unlink(missing_ok=True)
        for loopback in _CNI_RESULTS.glob(f"cni-loopback-{container}-*"):
            loopback.unlink(missing_ok=True)


def mounts_below(folder: Path, mountinfo: str) -> list[str]:
    """Return the mount points at or below a folder, the deepest and latest first."""
    points = [line.split()[4] for line in mountinfo.splitlines() if line]
    plain = [point.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\") for point in points]
    prefix = f"{folder}/"
    return [point for point in reversed(plain) if point == str(folder) or point.startswith(prefix)]


def _unmount(folder: Path) -> None:
    points: list[str] = []
    for _ in range(_ROUNDS):
        points = mounts_below(folder, Path("/proc/self/mountinfo").read_text())
        if not points:
            return
        for point in points:
            done = subprocess.run(["umount", point], capture_output=True, check=False)
            if done.returncode:
                subprocess.run(["umount", "-l", point], capture_output=True, check=False)
    raise CtlError(f"cannot unmount {points[0]}")


def _remove(folder: Path) -> None:
    if mounts_below(folder, Path("/proc/self/mountinfo").read_text()):
        raise CtlError(f"something is still mounted below {folder}; its data is left alone")
    for _ in range(_ROUNDS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
    raise CtlError(f"cannot remove all of {folder}")
