"""``tiphys images import``: an image archive into the containerd of every node of a cluster."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tiphys.ctl.layout import Cluster, CtlError

_TIMEOUT_S = 600


def import_archive(cluster: Cluster, archive: Path) -> list[str]:
    """Import into all nodes at once and return the images' names. Raises CtlError naming who failed."""
    if not archive.is_file():
        raise CtlError(f"{archive}: {'not a file' if archive.exists() else 'no such file'}")
    stopped = [node.name for node in cluster.nodes if not node.containerd_socket.exists()]
    if stopped:
        raise CtlError(f"cluster {cluster.name!r} is not running: no containerd on {', '.join(stopped)}")
    running = [
        (
            node,
            subprocess.Popen(
                ["ctr", "-a", str(node.containerd_socket), "-n", "k8s.io", "images", "import", str(archive)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ),
        )
        for node in cluster.nodes
    ]
    names: list[str] = []
    failures: dict[str, list[str]] = {}
    for node, process in running:
        out, err = process.communicate(timeout=_TIMEOUT_S)
        if process.returncode:
            failures.setdefault(err.strip(), []).append(node.name)
        names += [line.split()[1] for line in out.splitlines() if line.startswith("unpacking ")]
    if failures:
        told = "; ".join(f"{text} (on {', '.join(nodes)})" for text, nodes in failures.items())
        raise CtlError(f"cannot import {archive}: {told}")
    return sorted(set(names))
