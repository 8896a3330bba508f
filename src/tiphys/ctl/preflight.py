"""Looks before ``up`` leaps: root, packages, free port, disk, kernel. Each refusal says what to do.

On Debian and its kin missing packages are installed with apt-get, naming them, unless that is refused.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from tiphys.ctl.layout import Cluster, CtlError

PACKAGES = {
    "containerd": "containerd",
    "containerd-shim-runc-v2": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "nft": "nftables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "mount": "mount",
    "iptables": "iptables",
}
"""Commands that a node needs, and the Debian packages that bring them."""
ETCD = {"etcd": "etcd-server"}
"""Needed besides with ``--store etcd``."""
CNI_DIRS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
CNI_PLUGINS = ("ptp", "host-local", "portmap", "loopback")
_CNI_PACKAGE = "containernetworking-plugins"
_MIN_FREE_BYTES = 512 * 1024 * 1024


def cni_bin_dir() -> Path | None:
    """Return the folder that has every CNI plugin we use."""
    for folder in CNI_DIRS:
        if all((folder / plugin).exists() for plugin in CNI_PLUGINS):
            return folder
    return None


def missing_packages(
    extra: Mapping[str, str] | None = None, which: Callable[[str], str | None] = shutil.which
) -> list[str]:
    """Return the Debian packages of which something is missing, sorted; ``extra`` is like ``PACKAGES``."""
    wanted = {**PACKAGES, **(extra or {})}
    missing = {package for command, package in wanted.items() if which(command) is None}
    if cni_bin_dir() is None:
        missing.add(_CNI_PACKAGE)
    return sorted(missing)


def ensure_packages(
    say: Callable[[str], None], *, install: bool, extra: Mapping[str, str] | None = None
) -> None:
    """Install what is missing, or refuse and name it. Raises CtlError."""
    missing = missing_packages(extra)
    if not missing:
        return
    names = " ".join(missing)
    if not install:
        raise CtlError(f"missing packages: {names} (left alone because of --no-install)")
    if shutil.which("apt-get") is None:
        raise CtlError(
            f"missing: {names} (these are the names of the Debian packages; install what matches them)"
        )
    say(f"installing packages: {names}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for argv in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing],
    ):
        done = subprocess.run(argv, capture_output=True, text=True, env=environment, check=False)
        if done.returncode and argv[1] == "install":
            raise CtlError(f"apt-get could not install {names}: {done.stderr.strip()[-500:]}")
    if missing_packages(extra):
        raise CtlError(f"still missing after the installation: {' '.join(missing_packages(extra))}")


def check_root() -> None:
    """Raises CtlError without root."""
    if os.geteuid() != 0:
        raise CtlError("this needs root (namespaces, containers): run it with sudo")


def check_port(cluster: Cluster) -> None:
    """Raises CtlError when somebody else listens on the API server's port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", cluster.api_port))
        except OSError as error:
            raise CtlError(
                f"port {cluster.api_port} on 127.0.0.1 is taken by another program: stop it, "
                f"or see who it is with 'ss -ltnp sport = :{cluster.api_port}'"
            ) from error


def check_disk(folder: Path) -> None:
    """Raises CtlError when there is too little room for a cluster to begin."""
    free = shutil.disk_usage(folder).free
    if free < _MIN_FREE_BYTES:
        raise CtlError(
            f"only {free // 2**20} MiB free under {folder}, of {_MIN_FREE_BYTES // 2**20} MiB needed: "
            "make room, or choose another place with TIPHYS_HOME"
        )
