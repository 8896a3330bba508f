"""How this project runs containerd for a node: its configuration, arguments, and first image.

Owns ``config.toml`` (version 2, as containerd 1.6 reads it) and what it depends on in this machine.
Starting and watching the process is the supervisor's (or the caller's) business.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import orjson

from tiphys.apimachinery.dataclass import dataclass
from tiphys.kubelet.images.pause import PAUSE_IMAGE, pause_image

_CAP_SYS_RESOURCE = 24
_CRI = 'plugins."io.containerd.grpc.v1.cri"'
_UNUSED = ("aufs", "btrfs", "devmapper", "zfs")
_IMPORT_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class ContainerdPaths:
    """Where one node's containerd keeps things; every part may be set apart."""

    root: Path
    state: Path
    socket: Path
    config: Path
    cni_conf_dir: Path
    registry_dir: Path
    cni_bin_dir: Path = Path("/usr/lib/cni")

    @classmethod
    def under(cls, base: Path, cni_bin_dir: Path = Path("/usr/lib/cni")) -> ContainerdPaths:
        """Return the usual places under a node's folder. Socket paths must stay under 108 bytes."""
        return cls(
            root=base / "containerd",
            state=base / "containerd-state",
            socket=base / "containerd.sock",
            config=base / "containerd.toml",
            cni_conf_dir=base / "cni",
            registry_dir=base / "registry",
            cni_bin_dir=cni_bin_dir,
        )


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What containerd must know about the machine."""

    may_raise_priority: bool
    """CAP_SYS_RESOURCE is there: OOM scores may be lowered."""
    apparmor: bool
    snapshotter: str


def host_facts(root: Path) -> HostFacts:
    """Probe this machine; ``root`` is where snapshots will lie (overlayfs is tried there)."""
    return HostFacts(_has_capability(_CAP_SYS_RESOURCE), _has_apparmor(), _snapshotter(root))


def _has_capability(bit: int) -> bool:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> bit & 1)
    return False


def _has_apparmor() -> bool:
    enabled = Path("/sys/module/apparmor/parameters/enabled")
    parser = Path("/sbin/apparmor_parser")
    return enabled.exists() and enabled.read_text().startswith("Y") and parser.exists()


def _snapshotter(root: Path) -> str:
    """Return ``overlayfs`` if one can be mounted under ``root``, else ``native`` (which copies)."""
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root) as folder:
        names = {name: Path(folder, name) for name in ("lower", "upper", "work", "merged")}
        for path in names.values():
            path.mkdir()
        layers = f"lowerdir={names['lower']},upperdir={names['upper']},workdir={names['work']}"
        merged = str(names["merged"])
        mounted = subprocess.run(
            ["mount", "-t", "overlay", "overlay", "-o", layers, merged], capture_output=True, check=False
        )
        if mounted.returncode:
            return "native"
        subprocess.run(["umount", merged], capture_output=True, check=True)
        return "overlayfs"


def _text(value: object) -> str:
    # JSON strings, numbers, lists and booleans are TOML as well.
    return orjson.dumps(value).decode()


def _table(name: str, values: dict[str, object]) -> str:
    lines = [f"{key} = {_text(value)}" for key, value in values.items()]
    return "\n".join([f"[{name}]", *lines, ""])


def containerd_config(
    paths: ContainerdPaths, facts: HostFacts, *, sandbox_image: str = PAUSE_IMAGE, log_level: str = "warn"
) -> str:
    """Return ``config.toml`` for one node."""
    top = {
        "version": 2,
        "root": str(paths.root),
        "state": str(paths.state),
        "disabled_plugins": [f"io.containerd.snapshotter.v1.{name}" for name in _UNUSED],
        "oom_score": 0,
    }
    cri = {
        "sandbox_image": sandbox_image,
        "stream_server_address": "127.0.0.1",
        "stream_server_port": "0",
        "restrict_oom_score_adj": not facts.may_raise_priority,
        "disable_apparmor": not facts.apparmor,
        "tolerate_missing_hugetlb_controller": True,
        "disable_hugetlb_controller": True,
        "netns_mounts_under_state_dir": True,
        "max_container_log_line_size": 16384,
    }
    tables = [
        _table("grpc", {"address": str(paths.socket)}),
        _table("ttrpc", {"address": f"{paths.socket}.ttrpc"}),
        _table("debug", {"level": log_level}),
        _table(_CRI, cri),
        _table(f"{_CRI}.containerd", {"snapshotter": facts.snapshotter, "default_runtime_name": "runc"}),
        _table(f"{_CRI}.containerd.runtimes.runc", {"runtime_type": "io.containerd.runc.v2"}),
        _table(f"{_CRI}.containerd.runtimes.runc.options", {"SystemdCgroup": False}),
        _table(
            f"{_CRI}.cni",
            {"bin_dir": str(paths.cni_bin_dir), "conf_dir": str(paths.cni_conf_dir), "max_conf_num": 1},
        ),
        _table(f"{_CRI}.registry", {"config_path": str(paths.registry_dir)}),
    ]
    return "\n".join(["\n".join(f"{key} = {_text(value)}" for key, value in top.items()), "", *tables])


def prepare(
    paths: ContainerdPaths, *, sandbox_image: str = PAUSE_IMAGE, log_level: str = "warn"
) -> HostFacts:
    """Make the folders and write the configuration; returns what was found out. Raises OSError."""
    for folder in (paths.root, paths.state, paths.cni_conf_dir, paths.registry_dir, paths.socket.parent):
        folder.mkdir(parents=True, exist_ok=True)
    facts = host_facts(paths.root)
    text = containerd_config(paths, facts, sandbox_image=sandbox_image, log_level=log_level)
    paths.config.write_text(text)
    return facts


def containerd_arguments(paths: ContainerdPaths) -> list[str]:
    """Return the command line; run it inside the node's network namespace (``nsenter --net=``)."""
    return ["containerd", "--config", str(paths.config)]


async def import_image(socket: Path, archive: bytes, snapshotter: str = "") -> None:
    """Import an image archive for Kubernetes' use. Raises RuntimeError with ctr's words."""
    command = ["ctr", "--address", str(socket), "--namespace", "k8s.io", "images", "import"]
    if snapshotter:
        command += ["--snapshotter", snapshotter]
    await _run([*command, "-"], archive)


async def ensure_pause_image(socket: Path, *, name: str = PAUSE_IMAGE, snapshotter: str = "") -> None:
    """Import the pause image unless it is there already. Raises RuntimeError."""
    command = ["ctr", "--address", str(socket), "--namespace", "k8s.io", "images", "ls", "-q"]
    if name not in (await _run(command, b"")).decode().split():
        await import_image(socket, pause_image(name=name), snapshotter)


async def _run(command: Sequence[str], data: bytes) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_IMPORT_TIMEOUT_S):
            out, err = await process.communicate(data)
    except BaseException as error:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        if isinstance(error, TimeoutError):
            raise RuntimeError(f"{command[0]}: no answer within {_IMPORT_TIMEOUT_S:.0f} s") from None
        raise
    if process.returncode:
        raise RuntimeError(f"{command[0]}: {err.decode(errors='replace').strip()}")
    return out
