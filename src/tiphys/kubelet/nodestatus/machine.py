"""What this machine is: the facts a Node object states about it. Blocking reads of small files."""

from __future__ import annotations

import os
import platform
import shutil
import uuid
from pathlib import Path

from tiphys.apimachinery.dataclass import dataclass
from tiphys.kubelet.images.oci import goarch


@dataclass(frozen=True, slots=True)
class Machine:
    """Facts that hold until the next boot."""

    cpus: int
    memory_bytes: int
    storage_bytes: int
    architecture: str
    kernel: str
    os_image: str
    machine_id: str
    boot_id: str
    system_uuid: str
    apparmor: bool = False
    """Whether its kernel enforces AppArmor profiles."""


def read_machine(root: Path, node_name: str) -> Machine:
    """Read this machine's facts; ``root`` says whose file system counts as storage."""
    root.mkdir(parents=True, exist_ok=True)
    machine_id = _text("/etc/machine-id")
    # Several nodes of one machine are told apart by name.
    own = uuid.uuid5(uuid.NAMESPACE_DNS, f"{machine_id}/{node_name}")
    return Machine(
        cpus=os.cpu_count() or 1,
        memory_bytes=_memory(),
        storage_bytes=shutil.disk_usage(root).total,
        architecture=goarch(),
        kernel=platform.release(),
        os_image=_os_image(),
        machine_id=own.hex,
        boot_id=_text("/proc/sys/kernel/random/boot_id"),
        system_uuid=str(own),
        apparmor=_text("/sys/module/apparmor/parameters/enabled").startswith("Y"),
    )


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _memory() -> int:
    for line in _text("/proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0


def memory_available_bytes() -> int:
    """Return what the kernel could still give out."""
    for line in _text("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def booted_at_s() -> int:
    """Return when the machine started, in seconds since the epoch."""
    for line in _text("/proc/stat").splitlines():
        if line.startswith("btime "):
            return int(line.split()[1])
    return 0


def processes() -> tuple[int, int]:
    """Return how many processes there may be, and how many there are."""
    most = int(Path("/proc/sys/kernel/pid_max").read_text())
    return most, int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])


def _os_image() -> str:
    for line in _text("/etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip().strip('"')
    return "Linux"
