"""What clusters put into the machine: taken before and after, the difference is what was left behind."""

from __future__ import annotations

import subprocess
from pathlib import Path

_LISTS = {
    "interface": ["ip", "-o", "link"],
    "route": ["ip", "route", "show", "table", "all"],
    "rule": ["ip", "rule"],
    "netns": ["ip", "netns"],
    "nft table": ["nft", "list", "tables"],
    "iptables rule": ["iptables", "-w", "5", "-S"],
}


def machine(home: Path, index: int) -> set[str]:
    """Return what this machine holds of the cluster with this folder and index, each with its kind.

    Others may be at work on the machine, so only what carries the cluster's names or addresses counts.
    """
    names = (
        f"tiphys{index}",
        f"t{index}n",
        f"172.29.{index}.",
        f"10.{128 + index}.",
        f"10.{64 + index}.",
        str(home),
    )
    found = set()
    for kind, argv in _LISTS.items():
        lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
        found |= {f"{kind}: {line}" for line in lines if any(name in line for name in names)}
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    found |= {f"mount: {line}" for line in mounts if any(name in line for name in names)}
    groups = Path("/sys/fs/cgroup").glob(f"**/tiphys/tiphys{index}")
    found |= {f"cgroup: {path}" for path in groups}
    found |= {f"file: {home}/{path.name}" for path in home.glob("[!.]*") if path.is_dir()}
    return found | {f"process: {pid}" for pid in processes(home, index)}


def processes(home: Path, index: int) -> set[int]:
    """Return processes of the cluster: in its control groups or network, or started with its folder."""
    spaces = {space.stat().st_ino for space in Path("/run/netns").glob(f"tiphys{index}-n*")}
    found = set()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            command = (folder / "cmdline").read_bytes().decode(errors="replace")
            environment = (folder / "environ").read_bytes().decode(errors="replace")
            groups = (folder / "cgroup").read_text()
            space = (folder / "ns" / "net").stat().st_ino
        except OSError:
            continue
        ours = f"TIPHYS_HOME={home}\0" in environment and "pytest" not in command
        if ours or str(home) in command or f"/tiphys{index}/" in groups or space in spaces:
            found.add(int(folder.name))
    return found
