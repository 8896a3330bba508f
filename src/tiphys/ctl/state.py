"""What is remembered on disk: ``cluster.json``, who runs under which process id, and the lock of a cluster.

A process is known by its id and its start time together, so that a reused id is never mistaken.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tiphys.apimachinery.clock import RealClock
from tiphys.ctl.layout import DEFAULT_NAME, Cluster, CtlError

DEFAULT_HOME = Path("/var/lib/tiphys")
_POLL_S = 0.02


def home() -> Path:
    """Return the folder of all clusters: ``TIPHYS_HOME`` or ``/var/lib/tiphys``."""
    return Path(os.environ.get("TIPHYS_HOME") or DEFAULT_HOME).resolve()


def cluster_folder(name: str) -> Path:
    return home() / name


def write_json(path: Path, value: Any) -> None:
    """Replace a file whole: a reader or a crash sees the old or the new one."""
    draft = path.with_name(f".{path.name}.new")
    try:
        with open(draft, "w") as file:
            json.dump(value, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except OSError as error:
        raise CtlError(f"cannot write {path}: {error.strerror}") from error


def read_json(path: Path) -> Any:
    """Return the content of a JSON file; None when it is not there or broken."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def save(cluster: Cluster) -> None:
    """Write ``cluster.json``. Raises CtlError (a full disk, say)."""
    value = {
        "name": cluster.name,
        "index": cluster.index,
        "nodes": [
            {"name": node.name, "ip": node.ip, "podCIDR": node.pod_cidr, "namespace": node.namespace}
            for node in cluster.nodes
        ],
        "serviceCIDR": cluster.service_cidr,
        "podCIDR": cluster.pod_cidr,
        "outbound": cluster.outbound,
        "store": cluster.store,
        "extraConfig": list(cluster.extra),
    }
    write_json(cluster.folder / "cluster.json", value)


def load(name: str) -> Cluster | None:
    """Return the cluster of that name, if there is one.

    Raises CtlError when it is there and cannot be read: to take it for none would leave what it runs behind.
    """
    folder = cluster_folder(name)
    path = folder / "cluster.json"
    try:
        value = json.loads(path.read_text())
        shape = (value["index"], folder, len(value["nodes"]), value["outbound"], value["store"])
        return Cluster(name, *shape, tuple(value.get("extraConfig", ())))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise CtlError(f"cannot read {path}: {error.strerror}") from error
    except KeyError as error:
        raise CtlError(f"{path} is damaged: it has no {error.args[0]!r}; put it back as it was") from error
    except (ValueError, TypeError) as error:
        raise CtlError(f"{path} is damaged ({error}): put it back as it was") from error


def load_existing(name: str) -> Cluster:
    """Return the cluster of that name. Raises CtlError when there is none."""
    cluster = load(name)
    if cluster is None:
        raise CtlError(
            f"no cluster {name!r}; 'tiphys up{'' if name == DEFAULT_NAME else f' --name {name}'}' makes one"
        )
    return cluster


def load_all() -> tuple[list[Cluster], list[CtlError]]:
    """Return every cluster under TIPHYS_HOME, and what is wrong with those that cannot be read."""
    clusters, faults = [], []
    try:
        names = sorted(path.name for path in home().iterdir())
    except (FileNotFoundError, NotADirectoryError):
        names = []
    except OSError as error:
        raise CtlError(f"cannot read {home()}: {error.strerror}") from error
    for name in names:
        try:
            cluster = load(name)
        except CtlError as error:
            faults.append(error)
            continue
        if cluster is not None:
            clusters.append(cluster)
    return clusters, faults


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold the cluster for one ``up`` or ``down``. Raises CtlError at once when another has it."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CtlError(
                f"another 'tiphys up' or 'tiphys down' is at work on cluster {folder.name!r}: wait for it"
            ) from error
        yield
    finally:
        os.close(handle)


def find(argv: Sequence[str]) -> int:
    """Return a process that was started with exactly this command line; 0 when there is none."""
    wanted = "\0".join((*argv, "")).encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes() == wanted and start_time(int(path.parent.name)) is not None:
                return int(path.parent.name)
    return 0


def start_time(pid: int) -> int | None:
    """Return when a process began, in clock ticks since boot; None without one (or with its zombie)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else int(fields[19])


def is_stopped(pid: int) -> bool:
    """True while a process is suspended (SIGSTOP); one that a debugger holds is not."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text[text.rindex(")") + 2] == "T"


def alive(pid: int, started: int) -> bool:
    """True while the very process that was recorded lives."""
    return pid > 0 and start_time(pid) == started


def stop_process(pid: int, started: int, *, grace_s: float) -> None:
    """End one recorded process: SIGTERM, and SIGKILL after ``grace_s`` (0: at once). Waits for its end.

    One that was suspended goes on for it: it would not hear the first signal.
    """
    if not alive(pid, started):
        return
    send(pid, signal.SIGTERM if grace_s else signal.SIGKILL)
    send(pid, signal.SIGCONT)
    clock = RealClock()
    deadline = clock.monotonic() + grace_s
    while alive(pid, started):
        if clock.monotonic() > deadline:
            send(pid, signal.SIGKILL)
        time.sleep(_POLL_S)


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal; a process that is gone is fine."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
